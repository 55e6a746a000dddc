package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/keys"
)

const copyNote = "note: a card's UID can be read and copied by anybody who holds it for a moment. " +
	"It is a name, not a secret."

func cardCommands() []spec {
	person := &cli.StringFlag{Name: "person", Usage: "the person who has it, by name or id"}
	return []spec{
		{
			name: "add", args: "", usage: "give a person a card, by its UID", need: []string{"person", "uid"},
			flags: append([]cli.Flag{
				person,
				&cli.StringFlag{Name: "uid",
					Usage: "in hex, like 04a1b2c3d4e580 or 04:A1:B2:C3:D4:E5:80; " +
						"- reads it from standard input, so that the process list does not show it"},
			}, validity()...),
			run: addCard,
		},
		{
			name: "learn", usage: "give a person the next unknown card that is read at a reader",
			need: []string{"reader", "person"}, live: true,
			flags: []cli.Flag{
				&cli.StringFlag{Name: "reader", Usage: "where the card will be read, by name or id"},
				person,
				&cli.DurationFlag{Name: "timeout", Usage: "how long to wait, up to 5m",
					Value: 30 * time.Second},
			},
			run: learnCard,
		},
		{
			name: "list", usage: "list cards", flags: []cli.Flag{person},
			run: func(x *call) error {
				zone, err := x.zone()
				if err != nil {
					return err
				}
				return list(x, api.ListCards, api.CardFilter{Person: x.String("person")},
					"PERSON CARD STATUS FROM UNTIL ID", func(c api.Card) []string {
						return []string{c.Person.Name, "…" + c.Tail, c.Status, inZone(c.From, zone),
							inZone(c.Until, zone), c.ID.String()[:16]}
					})
			},
		},
		{
			name: "lost", args: "CARD",
			usage: "mark a card lost: it opens nothing any more. " +
				"CARD is its id, the start of the id, or its last four digits",
			run: func(x *call) error {
				return ask(x, api.ChangeCard, api.AtWith(x.arg(0), api.CardChange{Status: "lost"}),
					func(c api.Card) string {
						return "card …" + c.Tail + " of " + c.Person.Name + " is lost"
					})
			},
		},
		removal("CARD", "remove a card", api.RemoveCard),
	}
}

// validity returns the flags of records that may be valid for a limited time.
func validity() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "from",
			Usage: "first moment at which it is valid, like 2026-11-23 or \"2026-11-23 08:00\" " +
				"in the site's time zone, or RFC 3339"},
		&cli.StringFlag{Name: "until", Usage: "first moment at which it is invalid, in the same forms"},
	}
}

func addCard(x *call) error {
	uid, err := x.uid()
	if err != nil {
		return err
	}
	in := api.NewCard{Person: x.String("person"), UID: uid}
	if in.From, err = x.time("from"); err != nil {
		return err
	}
	if in.Until, err = x.time("until"); err != nil {
		return err
	}
	err = ask(x, api.AddCard, api.With(in), addedCard)
	if err == nil {
		x.note(copyNote)
	}
	return err
}

func addedCard(c api.Card) string { return "added card …" + c.Tail + " of " + c.Person.Name }

// uid returns the flag's value, or a line of standard input.
func (x *call) uid() (string, error) {
	if x.String("uid") != "-" {
		return x.String("uid"), nil
	}
	ctx := x.Context.Context
	line, err := terminal.NewLineReader(io.LimitReader(x.App.Reader, 256)).Next(ctx)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && !errors.Is(err, io.EOF):
		return "", fmt.Errorf("read the uid: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", x.wrong("there is no uid on standard input: write it there, in hex")
	}
	return line, nil
}

func learnCard(x *call) error {
	wait := x.Duration("timeout")
	if wait < time.Second || wait > 5*time.Minute {
		return x.wrong("--timeout is %v: want 1s to 5m", wait)
	}
	reader, _, err := callAPI(x, api.GetDevice, api.At(x.String("reader")))
	if err != nil {
		return err
	}
	if reader.Kind != string(keys.KindReader) {
		return x.wrong("%s is a %s: name a reader; latchkey device list shows them", reader.Name, reader.Kind)
	}
	if _, _, err := callAPI(x, api.GetPerson, api.At(x.String("person"))); err != nil {
		return err
	}
	x.note("hold the card to %s now; waiting %v", x.String("reader"), wait)
	in := api.LearnRequest{Reader: x.String("reader"), Person: x.String("person"),
		Seconds: int((wait + time.Second - 1) / time.Second)}
	x.api.Patience = time.Duration(in.Seconds)*time.Second + connection.HeadWait
	err = ask(x, api.LearnCard, api.With(in), addedCard)
	if err == nil {
		x.note(copyNote)
	}
	return err
}
