package admin

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/backups"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/store/backup"
)

func (a *server) addBackupRoutes() {
	route.HandleFile(a.Router, api.MakeBackup, &huma.Response{Description: "the backup",
		Headers: map[string]*huma.Param{api.BackupHeader: {Schema: &huma.Schema{Type: "string"},
			Description: backups.Header}}},
		func(ctx context.Context, in *api.Body[api.NewBackup], head http.Header, w io.Writer) error {
			to, err := backup.ParseRecipients(in.Body.Recipients)
			if err != nil {
				return route.MarkInvalid(err)
			}
			err = backups.Make(ctx, a.Store, actorOf(ctx), a.Version, in.Body, to, head, w)
			if errors.Is(err, backup.ErrNoEvents) {
				return route.MarkInvalid(err)
			}
			return err
		})
}
