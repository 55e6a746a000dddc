package coapres

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"latchkey/keys"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

// allCodes are the codes that the resources may answer with.
var allCodes = []codes.Code{codes.Content, codes.Created, codes.Changed, codes.Deleted, codes.BadRequest,
	codes.Unauthorized, codes.Forbidden,
	codes.NotFound, codes.MethodNotAllowed, codes.NotAcceptable, codes.RequestEntityTooLarge,
	codes.UnsupportedMediaType,
	codes.TooManyRequests, codes.ServiceUnavailable}

// FuzzServe sends well-formed CoAP messages to the resources. They must not panic, they must answer
// with one of allCodes, and no invalid values may reach the gateway.
func FuzzServe(f *testing.F) {
	for kind := range keys.Kinds {
		f.Add(uint8(kind), []byte("\x40\x02\x00\x01\xb4scan\x11\x32\xff{\"n\":1,\"uid\":\"04a1b2c3d4e580\"}"))
		f.Add(uint8(kind), []byte("\x40\x02\x00\x01\xb3act\x04desk\x11\x3c\xff\xa2\x01\x01\x04\x05"))
		f.Add(uint8(kind), []byte("\x40\x02\x00\x01\xb2rd\x45lt=90"))
		f.Add(uint8(kind), []byte("\x40\x01\x00\x01\xbb.well-known\x04core\x44rt=*"))
		f.Add(uint8(kind), []byte("\x40\x02\x00\x01\xb6report\x11\x6e\xff[{\"n\":\"contact\",\"vb\":true}]"))
	}
	f.Fuzz(func(t *testing.T, kind uint8, datagram []byte) {
		req := pool.NewMessage(context.Background())
		if _, err := req.UnmarshalWithDecoder(coder.DefaultCoder, datagram); err != nil || req.Code() == 0 ||
			req.Code() > 31 {
			return
		}
		l := &ledger{}
		s := &Server{Calls: l, Log: slog.New(slog.DiscardHandler)}
		p := NewPeer("d", "node", keys.Kinds[int(kind)%len(keys.Kinds)], "lk-0000000000", "", nil)
		now := time.Now()
		// Make it a valid one, so that the code after the freshness check is reached.
		if e := EchoOf(req); len(e) == echoLen {
			p.Issued.issued[0] = stamped{Echo(e), now}
		}
		resp := pool.NewMessage(context.Background())
		s.Serve(context.Background(), p, req, resp, now)
		if !slices.Contains(allCodes, resp.Code()) {
			t.Errorf("got %s, which is not in allCodes", resp.Code())
		}
		if n := l.scan.N; slices.Contains(l.asked, "scan") &&
			(n == 0 || n >= 1<<53 || p.Kind != keys.KindReader) {
			t.Errorf("the gateway got a scan of a %s with counter %d", p.Kind, n)
		}
		if l.act.Action != 0 && (!l.act.Action.Valid() || p.Kind != keys.KindSwitch) {
			t.Errorf("the gateway got the action %v of a %s", l.act.Action, p.Kind)
		}
	})
}
