package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/access"
)

// Head is the newest event, and with it the whole chain.
type Head struct {
	Seq  uint64      `json:"seq"`
	Hash access.Hash `json:"hash"`
	Text string      `json:"text" doc:"both in one word, to keep off the machine and verify against later"`
}

// VerifyRequest asks whether the chain holds.
type VerifyRequest struct {
	Head string `json:"head,omitempty" doc:"a head kept elsewhere, SEQ:HASH: only with one is a store found that was cut or rolled back as a whole"`
}

// Verified is what the check found.
type Verified struct {
	OK      bool      `json:"ok"`
	Seq     uint64    `json:"seq" doc:"newest event"`
	Problem string    `json:"problem,omitempty" doc:"names the first bad file or event"`
	At      time.Time `json:"at,omitzero" doc:"when"`
}

func (a *api) auditRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/audit/head", "get-head", "The newest event's number and hash",
		func(context.Context, *struct{}) (*body[Head], error) {
			seq, hash := a.Store.Head()
			return answer(Head{Seq: seq, Hash: hash, Text: fmt.Sprintf("%d:%v", seq, hash)}, nil)
		})
	handle(a, toLook, http.MethodPost, "/v1/audit/verify", "verify-events", "Check the whole chain of events",
		func(ctx context.Context, in *struct{ Body VerifyRequest }) (*body[Verified], error) {
			seq, _ := a.Store.Head()
			err := a.verify(ctx, in.Body.Head)
			switch {
			case errors.Is(err, access.ErrInvalid):
				return nil, err
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil:
				return answer(Verified{Seq: seq, Problem: access.PlainText(err.Error()), At: a.Now()}, nil)
			}
			return answer(Verified{OK: true, Seq: seq, At: a.Now()}, nil)
		})
}

func (a *api) verify(ctx context.Context, head string) error {
	if head == "" {
		return a.Store.Verify(ctx)
	}
	seq, hash, err := ParseHead(head)
	if err != nil {
		return err
	}
	return a.Store.VerifyHead(ctx, seq, hash)
}

// ParseHead reads SEQ:HASH.
func ParseHead(s string) (uint64, access.Hash, error) {
	var hash access.Hash
	left, right, _ := strings.Cut(strings.TrimSpace(s), ":")
	seq, err := strconv.ParseUint(left, 10, 64)
	if err != nil || hash.UnmarshalText([]byte(right)) != nil {
		return 0, access.Hash{}, fmt.Errorf("head: %w: want SEQ:HASH as audit head prints it",
			access.ErrInvalid)
	}
	return seq, hash, nil
}
