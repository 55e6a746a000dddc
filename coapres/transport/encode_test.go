package transport

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

// An answer has the bytes that go-coap's own coder makes, for every kind of request, token, options
// and body.
func TestAnswersAreEncodedAsByGoCoAP(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for i := range 2000 {
		typ, token, mid := coap.Type(i%2), fill(r.IntN(9)), uint16(r.Uint32())
		request := encodeMessage(t, typ, codes.POST, mid, token, "scan", "x")
		resp := pool.NewMessage(context.Background())
		resp.SetCode([]codes.Code{codes.Changed, codes.Content, codes.BadRequest, codes.NotFound}[r.IntN(4)])
		if r.IntN(2) == 0 {
			resp.SetContentFormat(coap.MediaType(r.IntN(1000)))
			resp.SetOptionUint32(coap.MaxAge, r.Uint32N(1<<20))
			resp.SetOptionBytes(coap.OptionID(252), fill(r.IntN(41)))
		}
		if n := r.IntN(4); n > 0 {
			resp.SetBody(bytes.NewReader(fill((n - 1) * r.IntN(600)))) // sometimes empty
		}
		got, err := encodeAnswer(make([]byte, 0, maxDatagram), request, resp)
		if err != nil {
			t.Fatal(err)
		}
		resp.SetType(coap.NonConfirmable)
		if typ == coap.Confirmable {
			resp.SetType(coap.Acknowledgement)
		}
		resp.SetMessageID(int32(mid))
		resp.SetToken(token)
		want, err := resp.MarshalWithEncoder(coder.DefaultCoder)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("answer %d: got %x, want %x", i, got, want)
		}
	}
}

// An answer that fits no datagram is an error and nothing else.
func TestAnswerTooLong(t *testing.T) {
	request := encodeMessage(t, coap.Confirmable, codes.POST, 1, []byte("t"), "scan", "")
	resp := pool.NewMessage(context.Background())
	resp.SetCode(codes.Content)
	for n := range 12 {
		resp.SetBody(bytes.NewReader(make([]byte, n)))
		_, err := encodeAnswer(make([]byte, 0, 12), request, resp)
		if fits := n < 6; (err == nil) != fits || err != nil && !errors.Is(err, errTooLong) {
			t.Errorf("body of %d bytes: got %v, fits %v", n, err, fits)
		}
	}
}
