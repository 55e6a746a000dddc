// Package backup is the command line of backups: it makes one, says what is in one, verifies and
// restores one. Passphrases and private keys stay in this process: the gateway learns public keys
// only.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/store/backup"
)

// Connect finds the gateway that runs on the data folder of a command, or opens the store.
type Connect func(*cli.Context) (*connection.Connection, error)

// Command is the command of backups.
func Command(connect Connect) *cli.Command {
	return &cli.Command{Name: "backup", Usage: "save everything to one encrypted file, and check such files",
		Subcommands: []*cli.Command{
			{
				Name: "create", Usage: "write a backup; the gateway may run meanwhile",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "out", TakesFile: true, DefaultText: "latchkey-SITE-TIME.lkb, here",
						Usage: "`FILE` to write, which must not be there"},
					&cli.StringSliceFlag{Name: "recipient",
						Usage: "`PUBLIC KEY` of age, age1… or age1pq1…: its identity will open the file"},
					&cli.StringFlag{Name: "recipient-file", TakesFile: true,
						Usage: "`FILE` with one public key on each line"},
					&cli.BoolFlag{Name: "passphrase",
						Usage: "encrypt it with a passphrase, which is read from standard input"},
					&cli.BoolFlag{Name: "policy-only", Usage: "leave out the events and the counters"},
					&cli.Uint64Flag{Name: "events-from", DefaultText: "all, and everything else",
						Usage: "save only events, from this `NUMBER` on, to add to older backups"},
				},
				Action: func(c *cli.Context) error { return create(c, connect) },
			},
			{
				Name: "inspect", ArgsUsage: "FILE", Usage: "say what a backup is, from its header only",
				Flags: []cli.Flag{identityFlag()}, Action: inspect,
			},
			{
				Name: "verify", ArgsUsage: "FILE", Usage: "read a whole backup and check everything in it",
				Flags: []cli.Flag{identityFlag(),
					&cli.StringFlag{Name: "site-fingerprint", Usage: "the `FINGERPRINT` that your site " +
						"printed; only this shows that the backup is of your site"},
					&cli.StringFlag{Name: "head", Usage: "`SEQ:HASH` that latchkey audit head printed and " +
						"that you kept elsewhere"}},
				Action: verify,
			},
		}}
}

func identityFlag() cli.Flag {
	return &cli.StringFlag{Name: "identity", Aliases: []string{"i"}, TakesFile: true,
		Usage: "`FILE` with the secret key that age-keygen wrote; without it a passphrase is asked for"}
}

// written is the answer of create with --json.
type written struct {
	File   string     `json:"file"`
	Size   int64      `json:"size"`
	Backup api.Backup `json:"backup"`
}

func create(c *cli.Context, connect Connect) error {
	in, err := readRequest(c)
	if err != nil {
		return err
	}
	out := c.String("out")
	if _, err := os.Lstat(out); out != "" && err == nil {
		return fmt.Errorf("%s is there already: name another file", out)
	}
	var own backup.Identity // of this run only
	var words string
	if c.Bool("passphrase") {
		if words, err = readPassphrase(c, true); err != nil {
			return err
		}
		var to string
		if own, to, err = backup.NewPassing(); err != nil {
			return err
		}
		in.Recipients = []string{to}
	}

	at, err := connect(c)
	if err != nil {
		return err
	}
	done := written{File: out}
	err = func() error {
		body, err := open(c.Context, at, in, &done.Backup)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }()
		if done.File == "" {
			done.File = fmt.Sprintf("latchkey-%s-%s%s", done.Backup.Site,
				done.Backup.Made.UTC().Format("20060102T150405Z"), backup.Extension)
		}
		return backup.Create(done.File, func(w io.Writer) error {
			n := &counter{w: w}
			defer func() { done.Size = n.n }()
			var err error
			if own != nil {
				err = backup.Reencrypt(n, body, own, words)
			} else {
				_, err = io.Copy(n, body)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return errors.New("the backup was cut off, and nothing was written: the gateway's log says why")
			}
			return err
		})
	}()
	if err := errors.Join(err, at.Close()); err != nil {
		return err
	}
	return show(c, done, func() []string {
		return []string{fmt.Sprintf("%s: %s, up to event %d", done.File, humanize.Bytes(uint64(done.Size)),
			done.Backup.Head.Seq),
			"site fingerprint: " + done.Backup.Fingerprint,
			"head: " + done.Backup.Head.Text,
			"Keep the key that opens it, the fingerprint and the head where neither this machine nor the backup is."}
	})
}

// open asks for a backup and returns the file as it comes. about gets what the backup is.
func open(ctx context.Context, at *connection.Connection, in api.NewBackup,
	about *api.Backup) (io.ReadCloser, error) {
	send, text := client.Header(at.Send, api.BackupHeader)
	body, err := client.Open(ctx, send, api.MakeBackup, api.With(in))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(*text), about); err != nil {
		_ = body.Close()
		return nil, fmt.Errorf("the gateway's answer is not of this version: %w", err)
	}
	return body, nil
}

// readRequest returns what the flags ask for, without the recipient of a passphrase.
func readRequest(c *cli.Context) (in api.NewBackup, err error) {
	in = api.NewBackup{Kind: string(backup.Full), Recipients: c.StringSlice("recipient")}
	if path := c.String("recipient-file"); path != "" {
		f, err := os.Open(path)
		if err != nil {
			return in, err
		}
		defer func() { _ = f.Close() }()
		more, err := backup.ReadRecipientFile(f)
		if err != nil {
			return in, fmt.Errorf("%s: %w", path, err)
		}
		in.Recipients = append(in.Recipients, more...)
	}
	asked := c.IsSet("recipient") || c.IsSet("recipient-file")
	switch {
	case c.NArg() > 0:
		return in, terminal.WrongUse(c, "%q is too many: name the file with --out",
			terminal.ShortenWord(c.Args().First()))
	case asked && c.Bool("passphrase"):
		return in, terminal.WrongUse(c, "want --recipient or --passphrase, not both")
	case !asked && !c.Bool("passphrase"):
		return in, terminal.WrongUse(c, "want --recipient age1…, which age-keygen makes, or --passphrase: "+
			"a backup is always encrypted")
	case c.Bool("policy-only") && c.IsSet("events-from"):
		return in, terminal.WrongUse(c, "want --policy-only or --events-from, not both")
	case c.Bool("policy-only"):
		in.Kind = string(backup.Policy)
	case c.IsSet("events-from"):
		in.Kind, in.From = string(backup.Events), c.Uint64("events-from")
	}
	if asked {
		if _, err := backup.ParseRecipients(in.Recipients); err != nil {
			return in, terminal.WrongUse(c, "%v", err)
		}
	}
	return in, nil
}

func readPassphrase(c *cli.Context, fresh bool) (string, error) {
	words, err := terminal.ReadSecret(c, "passphrase", fresh)
	if err != nil || !fresh {
		return words, err
	}
	if err := backup.CheckPassphrase(words); err != nil {
		return "", terminal.WrongUse(c, "%v", err)
	}
	return words, nil
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// show prints an answer: JSON with --json, else lines for people.
func show(c *cli.Context, answer any, lines func() []string) error {
	if c.Bool(terminal.JSONFlag) {
		return json.NewEncoder(c.App.Writer).Encode(answer)
	}
	for _, line := range lines() {
		if _, err := fmt.Fprintln(c.App.Writer, terminal.QuoteLine(line)); err != nil {
			return err
		}
	}
	return nil
}
