package backup

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/restore"
	"latchkey/keys/provision"
)

// RestoreCommand is the command that makes a data folder from a backup. data is the global flag
// that names the folder, and options say how a store is opened.
func RestoreCommand(data string, options func(dir string) store.Options) *cli.Command {
	return &cli.Command{Name: "restore", ArgsUsage: "FILE",
		Usage: "make a new data folder, named with --data, from a full backup",
		Flags: []cli.Flag{identityFlag(),
			&cli.StringFlag{Name: "site-fingerprint", Usage: "the `FINGERPRINT` that your site printed"},
			&cli.BoolFlag{Name: "open", Usage: "do not begin in lockdown. What was revoked since the backup " +
				"opens doors again"}},
		Action: func(c *cli.Context) error { return restoreFile(c, c.String(data), options) }}
}

// restored is the answer of restore with --json.
type restored struct {
	Dir      string    `json:"dir"`
	Seq      uint64    `json:"seq"`
	Epoch    uint64    `json:"epoch"`
	Lockdown bool      `json:"lockdown"`
	Made     time.Time `json:"made"` // the backup
}

func restoreFile(c *cli.Context, dir string, options func(dir string) store.Options) error {
	want, err := readExpected(c)
	if err != nil {
		return err
	}
	if want.Fingerprint == "" {
		return terminal.WrongUse(c, "want --site-fingerprint: age does not say who wrote a file, so give the "+
			"fingerprint that latchkey backup create printed on your site")
	}
	if dir == "" {
		return terminal.WrongUse(c, "there is no home folder to keep data in: name one with --data DIR")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	return read(c, func(r *backup.Reader) error {
		done, err := restore.Restore(c.Context, r, restore.Options{Dir: dir, Fingerprint: want.Fingerprint,
			Open: c.Bool("open"), Actor: connection.CurrentUser(), Store: options})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Args().First(), err)
		}
		out := restored{dir, done.Seq, done.Epoch, done.Lockdown, r.Header.Made.UTC()}
		return show(c, out, func() []string {
			lines := []string{fmt.Sprintf("restored into %s: all up to event %d, and epoch %d begins", dir,
				r.Header.Head, done.Epoch),
				"What happened after " + out.Made.Format(time.RFC3339) + " is not in it: keys that were revoked, " +
					"cards that were lost and grants that were removed since are valid again. Do that anew."}
			if done.Lockdown {
				lines = append(lines, "The site is in lockdown. Then end it: latchkey --data "+
					provision.QuoteShell(dir)+" lockdown off")
			}
			return append(lines, "Never run the old data folder again beside this one.")
		})
	})
}
