package coapres

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// lock is the other end of an association. It answers each request with the next of its answers,
// and does not answer when there are no more.
type lock struct {
	answers []answered
	got     []wire.Command
	echoes  []string
}

type answered struct {
	code    codes.Code
	echo    string
	receipt wire.Receipt
	after   time.Duration
}

func (l *lock) LastHeard() time.Time  { return time.Time{} }
func (l *lock) Path() uint32          { return 0 }
func (l *lock) Release(*pool.Message) {}

func (l *lock) Do(req *pool.Message) (*pool.Message, error) {
	b, err := body(req, wire.MaxBody)
	if err != nil {
		return nil, err
	}
	cmd, err := wire.ParseCommand(wire.CBOR, b)
	if err != nil {
		return nil, err
	}
	l.got, l.echoes = append(l.got, cmd), append(l.echoes, string(EchoOf(req)))
	if len(l.answers) < len(l.got) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	a := l.answers[len(l.got)-1]
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case <-time.After(a.after):
	}
	resp := pool.NewMessage(context.Background())
	resp.SetCode(a.code)
	if a.echo != "" {
		resp.SetOptionBytes(optionEcho, []byte(a.echo))
	}
	if a.code == codes.Changed {
		b, err := a.receipt.Encode(wire.CBOR)
		if err != nil {
			return nil, err
		}
		resp.SetContentFormat(message.AppCBOR)
		resp.SetBody(bytes.NewReader(b))
	}
	return resp, nil
}

func unlockSeven(intent time.Time) Command {
	return Command{Command: wire.Command{ID: 7, Action: wire.Unlock, Duration: 3000}, Intent: intent}
}

func TestActuate(t *testing.T) {
	done := wire.Receipt{Result: wire.Done, State: wire.State{ID: 7, On: true, Left: 3000}}
	stale := answered{code: codes.Unauthorized, echo: "newecho1"}
	for _, c := range []struct {
		rule    string
		answers []answered
		late    time.Duration // how long ago the intent was
		want    error
		sends   int
		within  time.Duration
	}{
		{"done at once", []answered{{code: codes.Changed, receipt: done}}, 0, nil, 1, 0},
		{"repeated after a 4.01", []answered{stale, {code: codes.Changed, receipt: done}}, 0, nil, 2, 0},
		{"sent three times at most", []answered{stale, stale, stale, stale}, 0, ErrNotObeyed, 3, 0},
		{"no answer until the window ends", nil, 0, ErrNoReceipt, 1, CommandWindow},
		{"an answer after the window", []answered{{code: codes.Changed, receipt: done,
			after: 2 * time.Second}}, 0, ErrNoReceipt, 1, CommandWindow},
		{"the window begins at the intent", nil, time.Second, ErrNoReceipt, 1, 500 * time.Millisecond},
		{"too late to send", nil, CommandWindow, ErrLate, 0, 0},
		{"4.01 too late to repeat", []answered{{code: codes.Unauthorized, echo: "newecho1",
			after: 600 * time.Millisecond},
			{code: codes.Unauthorized, echo: "newecho1", after: 890 * time.Millisecond}, stale}, 0,
			ErrNotObeyed, 3, 1490 * time.Millisecond},
		{"refused", []answered{{code: codes.Changed, receipt: wire.Receipt{State: wire.State{ID: 9}}}}, 0,
			ErrNotObeyed, 1, 0},
		{"an error code", []answered{{code: codes.BadRequest}}, 0, ErrNotObeyed, 1, 0},
		{"a receipt for another command",
			[]answered{{code: codes.Changed, receipt: wire.Receipt{Result: wire.Done,
				State: wire.State{ID: 6}}}}, 0, ErrNoReceipt, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &lock{answers: c.answers}
			p := NewPeer("d", "front-lock", keys.KindLock, "lk-0000000000", "", l)
			p.Held.Take([]byte("oldecho1"), time.Now())
			time.Sleep(100 * time.Millisecond)
			began := time.Now()
			r, err := Actuate(context.Background(), p, unlockSeven(began.Add(-c.late)))
			if !errors.Is(err, c.want) || err == nil && r != done {
				t.Errorf("%s: got %+v, %v, want %v", c.rule, r, err, c.want)
			}
			if err != nil && r.Result == wire.Done {
				t.Errorf("%s: got an error and a receipt of the result done", c.rule)
			}
			if len(l.got) != c.sends {
				t.Errorf("%s: sent %d times, want %d", c.rule, len(l.got), c.sends)
			}
			if took := time.Since(began); took != c.within {
				t.Errorf("%s: took %v, want %v", c.rule, took, c.within)
			}
			if c.sends > 0 && (l.echoes[0] != "oldecho1" ||
				l.got[0].Age != int32((100*time.Millisecond-c.late)/time.Millisecond)) {
				t.Errorf("%s: first sent with Echo %q and age %d", c.rule, l.echoes[0], l.got[0].Age)
			}
			if c.sends > 1 && (l.echoes[1] != "newecho1" || l.got[1].Age > 0) {
				t.Errorf("%s: repeated with Echo %q and age %d, want the new Echo and an age before it",
					c.rule, l.echoes[1], l.got[1].Age)
			}
		})
	}
}

// addSleep returns the time at as if the machine had slept for d since then: its wall clock ran,
// but its monotonic clock stood still.
func addSleep(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	// If there is a monotonic reading, package time stores the wall seconds above 30 bits of
	// nanoseconds.
	out := at
	*(*uint64)(unsafe.Pointer(&out)) -= uint64(d/time.Second) << 30
	if at.Sub(out) != 0 || at.Round(0).Sub(out.Round(0)) != d {
		t.Fatal("package time has changed how it stores times")
	}
	return out
}

// The gateway's machine was suspended between the scan and its command. The age that it measures is
// then too small, and the lock would take the command for fresh.
func TestNoCommandIsSentAfterASleep(t *testing.T) {
	done := wire.Receipt{Result: wire.Done, State: wire.State{ID: 7, On: true, Left: 3000}}
	l := &lock{answers: []answered{{code: codes.Unauthorized, echo: "newecho1"},
		{code: codes.Changed, receipt: done}}}
	p := NewPeer("d", "front-lock", keys.KindLock, "lk-0000000000", "", l)
	tapped := addSleep(t, time.Now(), time.Hour)
	p.Held.Take([]byte("oldecho1"), tapped)
	if r, err := Actuate(context.Background(), p, unlockSeven(tapped)); !errors.Is(err, ErrLate) ||
		len(l.got) > 0 {
		t.Errorf("got %+v, %v after %d commands, want ErrLate and none", r, err, len(l.got))
	}
}
