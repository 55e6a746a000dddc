package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/gateway/audit"
	"latchkey/gateway/sink/sender"
)

// storeWithin bounds the time to store a cursor, or to pause a sink.
const storeWithin = 10 * time.Second

// times are all that an engine waits for.
type times struct {
	send        time.Duration // most that one Send may take
	store       time.Duration // least between two writes of a cursor
	first, most time.Duration // between tries: the first bound, which doubles, and the last
	later       time.Duration // most that a server may ask us to wait
	quiet       time.Duration // without a failure, until a sink that failed has recovered
}

func (t times) withDefaults() times {
	if t == (times{}) {
		return times{send: 2 * time.Minute, store: time.Second, first: time.Second, most: 5 * time.Minute,
			later: time.Hour, quiet: 10 * time.Minute}
	}
	return t
}

// pick returns how long to wait after so many failures in a row: any time up to a bound that
// doubles, so that many gateways do not come back at once.
func (t times) pick(failures int) time.Duration {
	bound := t.most
	if n := max(failures-1, 0); n < 30 {
		bound = min(t.most, t.first<<n)
	}
	return rand.N(bound) + time.Millisecond
}

// backOff notes a temporary failure and waits.
func (w *worker) backOff(ctx context.Context, err error) {
	w.failures++
	wait := w.e.cfg.times.pick(w.failures)
	var later *sender.Later
	if errors.As(err, &later) {
		wait += min(max(later.After, 0), w.e.cfg.times.later)
	}
	why := clean(err.Error())
	w.noteFailure(why)
	w.state.update(func() {
		w.state.failed[Temporary]++
		w.state.noteError(why)
		w.state.set(Failing, why)
		w.state.nextTry = time.Now().Add(wait)
	})
	w.e.cfg.Log.Debug("sink failed", "sink", w.sink.Name, "reason", why, "again", wait)
	w.sleep(ctx, wait)
}

// noteFailure begins a time of failure, with one event. It ends when nothing has failed for a
// while: see tend.
func (w *worker) noteFailure(why string) {
	w.failedAt, w.took = time.Now(), false
	if !w.cursor.Failing.IsZero() {
		return
	}
	// The cursor first: a process that dies again and again makes one event.
	w.cursor.Failing, w.moved = w.failedAt.UTC(), true
	w.store()
	w.state.update(func() { w.state.cursor = w.cursor })
	w.e.cfg.Log.Error("sink fails", "sink", w.sink.Name, "reason", why)
	w.e.cfg.Feed.Note(audit.Event{Kind: audit.EventSink, Actor: w.sink.Name, Reason: audit.ReasonFailing,
		Detail: "fails: " + why})
}

// noteRecovery ends a time of failure, with one event.
func (w *worker) noteRecovery() {
	since := w.cursor.Failing
	w.cursor.Failing, w.moved = time.Time{}, true
	w.store()
	w.state.update(func() { w.state.cursor = w.cursor })
	w.e.cfg.Log.Info("sink works again", "sink", w.sink.Name)
	w.e.cfg.Feed.Note(audit.Event{Kind: audit.EventSink, Actor: w.sink.Name, Reason: audit.ReasonRecovered,
		Detail: "works again; it failed since " + since.Format(time.RFC3339)})
}

// maxWhy is how many bytes of the text of a failure are kept. A server may have written it.
const maxWhy = 200

// clean makes the text of a failure short and printable.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return ' '
		}
		return c
	}, text)
	if len(text) > maxWhy {
		cut := maxWhy
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return strings.TrimSpace(text)
}
