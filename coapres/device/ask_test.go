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

// Two people tap while the first scan hangs: the second tap is as old as it is, however long it
// stood in the queue.
func TestQueuedTapGrowsOld(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	deciding, release := make(chan struct{}), make(chan struct{})
	scans := 0
	p.answer(func() (wire.Verdict, error) {
		scans++
		if scans == 1 {
			close(deciding)
		}
		<-release
		return wire.Verdict{Verdict: wire.Granted, Last: uint64(scans)}, nil
	})
	d, _ := p.node(device.Config{Kind: keys.KindReader}, p.addr)
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

// A tap that meets no session has no verdict, as one that met silence.
func TestScanWithoutASession(t *testing.T) {
	t.Parallel()
	nobody, err := net.ListenPacket("udp", "127.0.0.1:0") // it never answers
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
		t.Errorf("got %v, want no verdict, and why", err)
	}
	if got := d.Counter(); got != 0 {
		t.Errorf("got counter %d, want none used", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A tap that brought no verdict ends the session, and the next goes by the one after it, however
// soon it comes. A caller in a hurry says nothing about the session.
func TestTapAfterSilence(t *testing.T) {
	for name, c := range map[string]struct {
		patience time.Duration
		sessions int
	}{"in a hurry": {50 * time.Millisecond, 1}, "patient": {time.Minute, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			release := make(chan struct{})
			p.answer(func() (wire.Verdict, error) {
				<-release
				return wire.Verdict{Verdict: wire.Granted, Last: 1}, nil
			})
			d, _ := p.node(device.Config{Kind: keys.KindReader}, p.addr)
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
	d, peer := p.node(device.Config{Kind: keys.KindLock}, p.addr)
	if r, err := command(peer, wire.Command{ID: 1, Action: wire.Unlock}); err != nil || !r.On ||
		r.Left < 2000 || r.Left > 3000 {
		t.Errorf("got %+v, %v, want the lock's own pulse of 3 s", r, err)
	}
	if r, err := command(peer, wire.Command{ID: 2, Action: wire.Lock}); err != nil || r.On {
		t.Errorf("lock: got %+v, %v", r, err)
	}
	if got := d.Moves(); got != 1 {
		t.Errorf("got %d moves, want one", got)
	}
}

func TestShortLimitBoundsUnlockWithoutDuration(t *testing.T) {
	p := newPost(t)
	d, peer := p.node(device.Config{Kind: keys.KindLock, MaxPulse: 100 * time.Millisecond}, p.addr)
	if r, err := command(peer, wire.Command{ID: 1, Action: wire.Unlock}); err != nil || r.Left > 100 {
		t.Errorf("got %+v, %v, want 100 ms at most", r, err)
	}
	until(t, "the pulse ends by itself", func() bool { return !d.State().On })
}

// A pulse that another replaced must not end it.
func TestNewerPulseOutlivesTheOlder(t *testing.T) {
	p := newPost(t)
	changes := make(chan wire.State, 16)
	_, peer := p.node(device.Config{Kind: keys.KindLock, Changed: func(s wire.State) { changes <- s }},
		p.addr)
	for id, ms := range []uint32{200, 800} {
		if _, err := command(peer, wire.Command{ID: uint64(id + 1), Action: wire.Unlock,
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

func TestOutputLetsGoWhenTheNodeStops(t *testing.T) {
	p := newPost(t)
	d := device.New(device.Config{Kind: keys.KindLamp, Gateway: p.addr, Identity: p.identity,
		Secret: p.secret})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if r, err := command(p.peer(), wire.Command{ID: 1, Action: wire.On}); err != nil || !r.On {
		t.Errorf("on: got %+v, %v", r, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil when its context ends", err)
	}
	if d.State().On {
		t.Error("a node without power has its lamp on")
	}
}

// What a newer association commands counts for itself: ids are compared within one association
// only.
func TestIdsCountPerAssociation(t *testing.T) {
	p := newPost(t)
	d, peer := p.node(device.Config{Kind: keys.KindLamp}, p.addr)
	if _, err := command(peer, wire.Command{ID: 100, Action: wire.On}); err != nil {
		t.Fatal(err)
	}
	d.Drop()
	peer = p.peer()
	if r, err := command(peer, wire.Command{ID: 7, Action: wire.Off}); err != nil || r.ID != 7 || r.On {
		t.Errorf("got %+v, %v, want it obeyed", r, err)
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
		{"what it is", keys.KindLock, codes.GET, "/.well-known/core", 0, "", codes.Content},
		{"which nobody may change", keys.KindLock, codes.POST, "/.well-known/core", 0, "",
			codes.MethodNotAllowed},
		{"its state", keys.KindLamp, codes.GET, "/act", wire.CBOR, "", codes.Content},
		{"a reader has none", keys.KindReader, codes.GET, "/act", wire.CBOR, "", codes.NotFound},
		{"no other method", keys.KindLamp, codes.DELETE, "/act", 0, "", codes.MethodNotAllowed},
		{"no other path", keys.KindLamp, codes.GET, "/act/more", 0, "", codes.NotFound},
		{"a command in JSON", keys.KindLamp, codes.POST, "/act", wire.JSON, `{"id":1,"action":"on"}`, codes.UnsupportedMediaType},
		{"a command that is none", keys.KindLamp, codes.POST, "/act", wire.CBOR, "on", codes.BadRequest},
		{"a command too long", keys.KindLamp, codes.POST, "/act", wire.CBOR, fmt.Sprintf("%129s", ""),
			codes.RequestEntityTooLarge},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := newPost(t)
			d, peer := p.node(device.Config{Kind: c.kind}, p.addr)
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
				t.Error("it moved")
			}
		})
	}
}
