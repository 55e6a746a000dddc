package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/dustin/go-humanize/english"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
)

func (a *server) addBackupRoutes() {
	route.HandleFile(a.Router, api.MakeBackup, &huma.Response{Description: "the backup",
		Headers: map[string]*huma.Param{api.BackupHeader: {Schema: &huma.Schema{Type: "string"},
			Description: "what the backup is, as JSON: site, fingerprint, epoch, made, program, kind, head, " +
				"from and records"}}}, a.makeBackup)
}

// makeBackup writes a backup to w.
func (a *server) makeBackup(ctx context.Context, in *api.Body[api.NewBackup], head http.Header,
	w io.Writer) error {
	to, err := backup.ParseRecipients(in.Body.Recipients)
	if err != nil {
		return route.MarkInvalid(err)
	}
	// A backup of a full disk is better than none, so it needs no event.
	detail := fmt.Sprintf("%s, for %s", in.Body.Kind, english.Plural(len(to), "recipient", ""))
	_, err = a.Store.Record(ctx, audit.Event{Kind: audit.EventBackup, Actor: actorOf(ctx), Detail: detail})
	if err != nil && !errors.Is(err, store.ErrNoSpace) {
		return err
	}
	o := backup.Options{To: to, Kind: backup.Kind(in.Body.Kind), From: in.Body.From, Program: a.Version,
		Begin: func(h backup.Header) {
			text, _ := json.Marshal(api.ViewBackup(h)) // never fails: it has only texts and numbers
			head.Set(api.BackupHeader, string(text))
		}}
	if err = a.Store.WriteBackup(ctx, w, o); errors.Is(err, backup.ErrNoEvents) {
		return route.MarkInvalid(err)
	}
	return err
}
