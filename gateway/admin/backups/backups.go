// Package backups makes the backup that somebody asks the API for. Who may ask is decided elsewhere.
package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/dustin/go-humanize/english"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
)

// Header says what is in [api.BackupHeader].
const Header = "what the backup is, as JSON: site, fingerprint, epoch, made, program, kind, head, from and records"

// Store is what a backup is made of.
type Store interface {
	Record(ctx context.Context, ev audit.Event) (audit.Event, error)
	WriteBackup(ctx context.Context, w io.Writer, o backup.Options) error
}

// Make writes a backup of a store to w, and before it [api.BackupHeader]. version is that of this
// program. The error is backup.ErrNoEvents if there are no such events.
func Make(ctx context.Context, st Store, actor, version string, in api.NewBackup, to []backup.Recipient,
	head http.Header, w io.Writer) error {
	// A backup of a full disk is better than none, so it needs no event.
	detail := fmt.Sprintf("%s, for %s", in.Kind, english.Plural(len(to), "recipient", ""))
	_, err := st.Record(ctx, audit.Event{Kind: audit.EventBackup, Actor: actor, Detail: detail})
	if err != nil && !errors.Is(err, store.ErrNoSpace) {
		return err
	}
	o := backup.Options{To: to, Kind: backup.Kind(in.Kind), From: in.From, Program: version,
		Begin: func(h backup.Header) {
			text, _ := json.Marshal(api.ViewBackup(h)) // never fails: it has only texts and numbers
			head.Set(api.BackupHeader, string(text))
		}}
	return st.WriteBackup(ctx, w, o)
}
