//go:build !race

package coapres

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"golang.org/x/time/rate"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// door is a gateway that grants every scan at once.
type door struct{ Calls }

func (door) Scan(_ context.Context, _ *Peer, s wire.Scan, _ time.Time) (wire.Verdict, error) {
	return wire.Verdict{Verdict: wire.Granted, Last: s.N}, nil
}

// Counts the allocations of one scan, from the message to its answer, without the gateway's
// decision. If you change the figure on purpose, put the new one here.
func TestGateAllocationsOfARequest(t *testing.T) {
	const want = 6
	p := newDesk(t, keys.KindReader).peer
	p.budget = rate.NewLimiter(rate.Inf, 1)
	s := &Server{Calls: door{}, Log: slog.New(slog.DiscardHandler)}
	body, err := wire.Scan{N: 1000, UID: []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80},
		Age: -500}.Encode(wire.CBOR)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	shown := stamped{p.Issued.Issue(at), at}
	ctx := context.Background()
	req, resp := pool.NewMessage(ctx), pool.NewMessage(ctx)
	req.SetCode(codes.POST)
	if err := req.SetPath("/scan"); err != nil {
		t.Fatal(err)
	}
	req.SetAccept(message.AppCBOR)
	req.SetContentFormat(message.AppCBOR)
	req.SetOptionBytes(optionEcho, shown.echo[:])
	req.SetBody(bytes.NewReader(body))
	got := testing.AllocsPerRun(200, func() {
		p.Issued.issued[0] = shown // each answer issues another Echo, and only four are stored
		p.Issued.next = 1
		resp.Reset()
		s.Serve(ctx, p, req, resp, at)
	})
	if resp.Code() != codes.Changed {
		t.Fatalf("answered %v, want a verdict", resp.Code())
	}
	if got != want {
		t.Errorf("got %v allocations, want %d", got, want)
	}
}
