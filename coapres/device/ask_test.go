package device_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Two people tap while the gateway does not answer the first scan. The age of the second tap counts
// from the tap, however long it waited in the queue.
func TestQueuedTapAges(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	deciding, release := make(chan struct{}), make(chan struct{})
	scans := 0
	p.setAnswer(func() (wire.Verdict, error) {
		scans++
		if scans == 1 {
			close(deciding)
		}
		<-release
		return wire.Verdict{Verdict: wire.Granted, Last: uint64(scans)}, nil
	})
	d, _ := p.runNode(device.Config{Kind: keys.KindReader}, p.addr)
	type result struct {
		err  error
		took time.Duration
	}
	tap := func(c chan<- result) {
		began := time.Now()
		_, err := d.Scan(context.Background(), []byte{1, 2, 3, 4})
		c <- result{err, time.Since(began)}
	}
	first, second := make(chan result, 1), make(chan result, 1)
	go tap(first)
	<-deciding
	go tap(second)
	for _, c := range []chan result{first, second} {
		r := <-c
		if r.err == nil || r.took > 30*time.Second {
			t.Errorf("got %v after %v, want no verdict 3 s after the tap", r.err, r.took)
		}
	}
	close(release)
	if got := d.Counter(); got > 2 {
		t.Errorf("got counter %d, want one for each tap at most", got)
	}
}

// A tap without a session ends with ErrNoVerdict, like one that gets no answer.
func TestScanWithoutASession(t *testing.T) {
	t.Parallel()
	nobody, err := net.ListenPacket("udp", "127.0.0.1:0") // a gateway that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nobody.Close() }()
	d := device.New(device.Config{Name: "r", Kind: keys.KindReader, Gateway: nobody.LocalAddr().String(),
		Identity: keys.NewID(), Secret: keys.NewSecret()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if _, err := d.Scan(ctx, []byte{1, 2, 3, 4}); !errors.Is(err, device.ErrNoVerdict) ||
		!strings.Contains(err.Error(), "not connected") {
		t.Errorf("got %v, want ErrNoVerdict and the reason", err)
	}
	if got := d.Counter(); got != 0 {
		t.Errorf("got counter %d, want none used", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A tap without a verdict ends the session, and the next tap uses a new session, however soon it
// comes. If the caller's own deadline ends the tap early, the session continues.
func TestTapAfterSilence(t *testing.T) {
	for name, c := range map[string]struct {
		patience time.Duration
		sessions int
	}{"the caller's deadline is short": {50 * time.Millisecond, 1}, "the caller waits": {time.Minute, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			release := make(chan struct{})
			p.setAnswer(func() (wire.Verdict, error) {
				<-release
				return wire.Verdict{Verdict: wire.Granted, Last: 1}, nil
			})
			d, _ := p.runNode(device.Config{Kind: keys.KindReader}, p.addr)
			ctx, cancel := context.WithTimeout(context.Background(), c.patience)
			defer cancel()
			if _, err := d.Scan(ctx, []byte{1, 2, 3, 4}); !errors.Is(err, device.ErrNoVerdict) {
				t.Errorf("got %v, want no verdict", err)
			}
			close(release)
			if v, err := d.Scan(context.Background(), []byte{1, 2, 3, 4}); err != nil ||
				v.Verdict != wire.Granted {
				t.Errorf("the next tap: got %+v, %v, want granted", v, err)
			}
			if got := d.Sessions(); got != c.sessions {
				t.Errorf("got %d sessions, want %d", got, c.sessions)
			}
		})
	}
}

func TestUnlockWithoutDuration(t *testing.T) {
	p := newPost(t)
	d, peer := p.runNode(device.Config{Kind: keys.KindLock}, p.addr)
	if r, err := sendCommand(peer, wire.Command{ID: 1, Action: wire.Unlock}); err != nil || !r.On ||
		r.Left < 2000 || r.Left > 3000 {
		t.Errorf("got %+v, %v, want the lock's own pulse of 3 s", r, err)
	}
	if r, err := sendCommand(peer, wire.Command{ID: 2, Action: wire.Lock}); err != nil || r.On {
		t.Errorf("lock: got %+v, %v", r, err)
	}
	if got := d.Moves(); got != 1 {
		t.Errorf("got %d moves, want one", got)
	}
}

func TestShortLimitBoundsUnlockWithoutDuration(t *testing.T) {
	p := newPost(t)
	d, peer := p.runNode(device.Config{Kind: keys.KindLock, MaxPulse: 100 * time.Millisecond}, p.addr)
	if r, err := sendCommand(peer, wire.Command{ID: 1, Action: wire.Unlock}); err != nil || r.Left > 100 {
		t.Errorf("got %+v, %v, want 100 ms at most", r, err)
	}
	eventually(t, "the pulse ends by itself", func() bool { return !d.State().On })
}

// The end of an older pulse must not end a newer one.
func TestNewerPulseOutlivesTheOlder(t *testing.T) {
	p := newPost(t)
	changes := make(chan wire.State, 16)
	_, peer := p.runNode(device.Config{Kind: keys.KindLock, Changed: func(s wire.State) { changes <- s }},
		p.addr)
	for id, ms := range []uint32{200, 800} {
		if _, err := sendCommand(peer, wire.Command{ID: uint64(id + 1), Action: wire.Unlock,
			Duration: ms}); err != nil {
			t.Fatal(err)
		}
	}
	newest := time.Now()
	for _, want := range []bool{true, true, false} {
		if got := <-changes; got.On != want {
			t.Fatalf("got %+v, want on %v", got, want)
		}
	}
	if took := time.Since(newest); took < 600*time.Millisecond {
		t.Errorf("the newer pulse of 800 ms ended after %v", took)
	}
}

func TestOutputSwitchesOffWhenTheNodeStops(t *testing.T) {
	p := newPost(t)
	d := device.New(device.Config{Kind: keys.KindLamp, Gateway: p.addr, Identity: p.identity,
		Secret: p.secret})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if r, err := sendCommand(p.awaitPeer(), wire.Command{ID: 1, Action: wire.On}); err != nil || !r.On {
		t.Errorf("on: got %+v, %v", r, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil when its context ends", err)
	}
	if d.State().On {
		t.Error("the lamp is on after the node has stopped")
	}
}

// Command IDs are compared only within one association, so a new association may use lower ones.
func TestIdsCountPerAssociation(t *testing.T) {
	p := newPost(t)
	d, peer := p.runNode(device.Config{Kind: keys.KindLamp}, p.addr)
	if _, err := sendCommand(peer, wire.Command{ID: 100, Action: wire.On}); err != nil {
		t.Fatal(err)
	}
	d.Drop()
	peer = p.awaitPeer()
	if r, err := sendCommand(peer, wire.Command{ID: 7, Action: wire.Off}); err != nil || r.ID != 7 || r.On {
		t.Errorf("got %+v, %v, want it done", r, err)
	}
}

func TestWhatANodeServes(t *testing.T) {
	for _, c := range []struct {
		rule   string
		kind   keys.Kind
		method codes.Code
		path   string
		format wire.Format
		body   string
		want   codes.Code
	}{
		{"its links", keys.KindLock, codes.GET, "/.well-known/core", 0, "", codes.Content},
		{"links cannot be changed", keys.KindLock, codes.POST, "/.well-known/core", 0, "",
			codes.MethodNotAllowed},
		{"its state", keys.KindLamp, codes.GET, "/act", wire.CBOR, "", codes.Content},
		{"a reader has no state", keys.KindReader, codes.GET, "/act", wire.CBOR, "", codes.NotFound},
		{"no other method", keys.KindLamp, codes.DELETE, "/act", 0, "", codes.MethodNotAllowed},
		{"no other path", keys.KindLamp, codes.GET, "/act/more", 0, "", codes.NotFound},
		{"a command in JSON", keys.KindLamp, codes.POST, "/act", wire.JSON, `{"id":1,"action":"on"}`,
			codes.UnsupportedMediaType},
		{"a malformed command", keys.KindLamp, codes.POST, "/act", wire.CBOR, "on", codes.BadRequest},
		{"a command too long", keys.KindLamp, codes.POST, "/act", wire.CBOR, fmt.Sprintf("%129s", ""),
			codes.RequestEntityTooLarge},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := newPost(t)
			d, peer := p.runNode(device.Config{Kind: c.kind}, p.addr)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			r := coapres.Request{Method: c.method, Path: c.path, Format: c.format}
			if c.body != "" {
				r.Body = []byte(c.body)
			}
			a, err := coapres.Call(ctx, peer.Caller, &peer.Held, r)
			if err != nil || a.Code != c.want {
				t.Errorf("got %s, %v, want %s", a.Code, err, c.want)
			}
			if d.Moves() != 0 {
				t.Error("the node moved")
			}
		})
	}
}
