package admin

import (
	"context"
	"errors"
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/text"
)

func (a *server) addAuditRoutes() {
	handle(a, api.GetHead,
		func(context.Context, *api.Nothing) (api.Head, error) {
			seq, hash := a.Store.Head()
			return api.Head{Seq: seq, Hash: hash, Text: fmt.Sprintf("%d:%v", seq, hash)}, nil
		})
	handle(a, api.VerifyEvents,
		func(ctx context.Context, in *api.Body[api.VerifyRequest]) (api.Verified, error) {
			out := api.Verified{At: a.Now(), Removed: a.Store.Removed()}
			out.Seq, _ = a.Store.Head()
			err := a.verify(ctx, in.Body.Head)
			switch {
			case errors.Is(err, access.ErrInvalid):
				return api.Verified{}, err
			case ctx.Err() != nil:
				return api.Verified{}, ctx.Err()
			case err != nil:
				out.Problem = text.MakePlain(err.Error())
			}
			out.OK = err == nil
			return out, nil
		})
}

func (a *server) verify(ctx context.Context, head string) error {
	if head == "" {
		return a.Store.Verify(ctx)
	}
	seq, hash, err := api.ParseHead(head)
	if err != nil {
		return err
	}
	return a.Store.VerifyHead(ctx, seq, hash)
}
