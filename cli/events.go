package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/calendar"
)

const (
	defaultEvents = 50
	maxEvents     = 1000
)

func eventsCommand() spec {
	return spec{
		name: "events", usage: "show what happened, oldest first",
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Usage: "show new events as they happen, until interrupted"},
			&cli.StringFlag{Name: "since",
				Usage: "only from this time on: a duration like 2h, " +
					"a time like \"2026-11-23 08:00\" in the site's zone, or RFC 3339"},
			&cli.IntFlag{Name: "limit", Usage: "how many at most, the newest, up to 1000",
				DefaultText: "50, or 1000 with --since"},
		},
		run: events,
	}
}

func events(x *call) error {
	limit := x.Int("limit")
	follow := x.Bool("follow")
	switch {
	case x.IsSet("limit") && (limit < 1 || limit > maxEvents):
		return x.wrong("--limit is %d: want 1 to %d", limit, maxEvents)
	case x.IsSet("limit"):
	case x.String("since") != "":
		limit = maxEvents
	case !follow:
		limit = defaultEvents
	}
	x.spec.live = follow
	since, err := x.since()
	if err != nil {
		return err
	}
	zone, err := x.zone()
	if err != nil {
		return err
	}
	next := uint64(0)
	if limit > 0 {
		page, raw, err := callAPI(x, api.ListEvents, api.EventQuery{Limit: limit, Since: since})
		if err != nil {
			return err
		}
		next = page.Next
		if r := page.Removed; !r.IsZero() && (len(page.Items) == 0 || page.Items[0].Seq == r.Before) {
			x.note("note: %s", r.Sentence(zone))
		}
		if !since.IsZero() && !x.IsSet("limit") && len(page.Items) == limit {
			x.note("note: these are the newest %d since then; there may be older ones", limit)
		}
		if err := x.showEvents(raw, page, zone, follow); err != nil || !follow {
			return err
		}
	}
	if !follow {
		return nil
	}
	return x.follow(next, zone)
}

// since is the flag as a time, to the second; zero if it is not given.
func (x *call) since() (time.Time, error) {
	s := x.String("since")
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d).Truncate(time.Second), nil
	}
	if _, err := calendar.ParseTime(s, time.UTC); errors.Is(err, calendar.ErrNoTime) && s != "" {
		return time.Time{}, x.wrong("--since %q: want a duration like 2h or 36h, "+
			"or a time like 2026-11-23 or \"2026-11-23 08:00\"", terminal.ShortenWord(s))
	}
	t, err := x.time("since")
	if err != nil || t == nil {
		return time.Time{}, err
	}
	return t.Truncate(time.Second), nil
}

// showEvents prints a page of events: with --json unchanged, or one event per line if more will
// follow.
func (x *call) showEvents(raw []byte, page api.Events, zone *time.Location, lines bool) error {
	if x.json() && !lines {
		return x.show(raw, nil)
	}
	for _, ev := range page.Items {
		if err := x.showEvent(ev, zone); err != nil {
			return err
		}
	}
	return nil
}

func (x *call) showEvent(ev audit.Event, zone *time.Location) error {
	if x.json() {
		b, err := json.Marshal(ev)
		if err != nil {
			return fmt.Errorf("event %d: %w", ev.Seq, err)
		}
		_, err = x.App.Writer.Write(append(b, '\n'))
		return err
	}
	_, err := fmt.Fprintf(x.App.Writer, "%s  %6d  %-8s  %s\n", inZone(ev.At, zone), ev.Seq, ev.Kind,
		eventLine(ev))
	return err
}

// follow prints events until somebody interrupts it.
func (x *call) follow(from uint64, zone *time.Location) error {
	stream, err := client.Open(x.Context.Context, x.send, api.StreamEvents, api.StreamInput{From: from})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		news, err := client.Decode(api.StreamEvents, lines.Bytes())
		if err != nil {
			return err
		}
		if err := x.showEvent(news.Event, zone); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case x.Context.Err() != nil:
		return nil // interrupted, as it is meant to end
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, context.Canceled):
		return fmt.Errorf("events: %w", err)
	}
	return errors.New("the gateway has stopped")
}

// eventLine is an event in one line, without its time and kind.
func eventLine(ev audit.Event) string { return terminal.QuoteLine(ev.Line()) }
