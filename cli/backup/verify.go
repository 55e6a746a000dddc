package backup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/store/backup"
)

// read opens the backup that the command names and calls f with it.
func read(c *cli.Context, f func(*backup.Reader) error) error {
	switch {
	case c.NArg() == 0 || c.Args().First() == "":
		return terminal.WrongUse(c, "want FILE: %s FILE -i KEYFILE", terminal.NameCommand(c))
	case c.NArg() > 1:
		return terminal.WrongUse(c, "%q is too many: want one FILE", terminal.ShortenWord(c.Args().Get(1)))
	}
	path := c.Args().First()
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	in := bufio.NewReaderSize(file, 64<<10)
	begin, _ := in.Peek(64) // a shorter file is refused below
	ids, err := readIdentity(c, path, backup.AsksPassphrase(begin))
	if err != nil {
		return err
	}
	r, err := backup.Open(in, ids...)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f(r)
}

// readIdentity reads the secret key, or asks for the passphrase.
func readIdentity(c *cli.Context, path string, asksPassphrase bool) ([]backup.Identity, error) {
	name := c.String("identity")
	switch {
	case asksPassphrase && name != "":
		return nil, terminal.WrongUse(c, "%s opens with a passphrase: leave out --identity", path)
	case asksPassphrase:
		words, err := readPassphrase(c, false)
		if err != nil {
			return nil, err
		}
		ids, err := backup.OpenWithPassphrase(words)
		if err != nil {
			return nil, terminal.WrongUse(c, "%v", err)
		}
		return ids, nil
	case name == "":
		return nil, terminal.WrongUse(c, "%s opens with a key: want -i KEYFILE", path)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	ids, err := backup.ReadIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return ids, nil
}

func inspect(c *cli.Context) error {
	return read(c, func(r *backup.Reader) error {
		b := api.ViewBackup(r.Header)
		return show(c, b, func() []string {
			return append(describe(b), "Nothing of this is checked yet: latchkey backup verify does that.")
		})
	})
}

// describe says in lines what a backup is.
func describe(b api.Backup) []string {
	what := map[string]string{string(backup.Full): "everything",
		string(backup.Policy): "everything but events and counters",
		string(backup.Events): fmt.Sprintf("events %d to %d, and nothing else", b.From, b.Head.Seq)}[b.Kind]
	return []string{"backup of site " + string(b.Site) + ", epoch " + fmt.Sprint(b.Epoch) + ": " + what,
		"made " + b.Made.Format(time.RFC3339) + " by latchkey " + b.Program,
		"site fingerprint: " + b.Fingerprint,
		"head: " + b.Head.Text,
		fmt.Sprintf("records of the policy: %d", b.Records)}
}

// verified is the answer of verify with --json.
type verified struct {
	OK      bool       `json:"ok"`
	Backup  api.Backup `json:"backup"`
	Records uint64     `json:"records"` // in the file
	Events  uint64     `json:"events"`
	// Own tells whether the fingerprint was compared with one that was given.
	Own bool `json:"siteChecked"`
}

func verify(c *cli.Context) error {
	want, err := readExpected(c)
	if err != nil {
		return err
	}
	return read(c, func(r *backup.Reader) error {
		found, err := r.Verify(c.Context, want)
		if err != nil {
			if c.Context.Err() != nil {
				return c.Context.Err()
			}
			if want.Fingerprint == "" && errors.Is(err, backup.ErrSigner) {
				err = fmt.Errorf("%w; it claims the fingerprint %s", err, r.Header.Fingerprint())
			}
			return fmt.Errorf("%s: %w", c.Args().First(), err)
		}
		b := api.ViewBackup(r.Header)
		v := verified{OK: true, Backup: b, Records: found.Records, Events: found.Events,
			Own: want.Fingerprint != ""}
		return show(c, v, func() []string {
			lines := append(describe(b), fmt.Sprintf("ok: whole and signed; %s records and %s events can be read, "+
				"and each event follows the one before", humanize.Comma(int64(found.Records)),
				humanize.Comma(int64(found.Events))))
			if !v.Own {
				lines = append(lines, "Is it yours? Whoever knows a public key can make such a file of a site of "+
					"their own. Compare the fingerprint with the one that your site printed, or give that one with "+
					"--site-fingerprint.")
			}
			return lines
		})
	})
}

// readExpected reads what the backup is to be compared with.
func readExpected(c *cli.Context) (want backup.Expected, err error) {
	if text := c.String("site-fingerprint"); text != "" {
		if want.Fingerprint, err = backup.ParseFingerprint(text); err != nil {
			return want, terminal.WrongUse(c, "--site-fingerprint: %v", err)
		}
	}
	if text := c.String("head"); text != "" {
		seq, hash, err := api.ParseHead(text)
		if err != nil {
			return want, terminal.WrongUse(c, "--head: want SEQ:HASH as latchkey audit head prints it")
		}
		want.Head = &backup.Head{Seq: seq, Hash: hash}
	}
	return want, nil
}
