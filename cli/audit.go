package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/gateway/admin/api"
)

func auditCommands() []spec {
	return []spec{
		{
			name: "verify", usage: "check the whole chain of events",
			flags: []cli.Flag{&cli.StringFlag{Name: "head",
				Usage: "SEQ:HASH that audit head printed and that you kept elsewhere; " +
					"only this shows that a store was rolled back as a whole"}},
			run: verifyEvents,
		},
		{
			name: "head", usage: "print the newest event's number and hash, to keep off this machine",
			run: func(x *call) error {
				return ask(x, api.GetHead, api.Nothing{}, func(h api.Head) string { return h.Text })
			},
		},
	}
}

func verifyEvents(x *call) error {
	head := x.String("head")
	if head != "" {
		if _, _, err := api.ParseHead(head); err != nil {
			return x.wrong("--head: want SEQ:HASH as latchkey audit head prints it")
		}
	}
	at, err := x.connect()
	if err != nil {
		return err
	}
	at.Patience = connection.AnswerWait // a long chain takes minutes, and the answer begins after it
	got, raw, err := callAPI(x, api.VerifyEvents, api.With(api.VerifyRequest{Head: head}))
	if err != nil {
		return err
	}
	if x.json() || got.OK {
		text := fmt.Sprintf("ok: %d events, each chained to the one before", got.Seq)
		if r := got.Removed; !r.IsZero() {
			text = fmt.Sprintf("ok: events %d to %d, each chained to the one before. %s", r.Before, got.Seq,
				r.Sentence(time.Local))
		}
		if err := x.show(raw, func(w io.Writer) { printLine(w, text) }); err != nil {
			return err
		}
	}
	if !got.OK {
		return errors.New(got.Problem)
	}
	return nil
}
