package transport

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/transport/message"
)

// startRequest sends a request. The channel gets nil for the answer 2.05, and otherwise an error.
func startRequest(c *Conn, method codes.Code, limit time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		m := pool.NewMessage(ctx)
		m.SetCode(method)
		m.MustSetPath("/act")
		a, err := c.Do(m)
		if err == nil && a.Code() != codes.Content {
			err = errors.New(a.Code().String())
		}
		done <- err
	}()
	return done
}

// makeResponse makes a separate 2.05 response of a type, with the token of req.
func makeResponse(t *testing.T, typ coap.Type, mid uint16, req []byte) []byte {
	return encodeMessage(t, typ, codes.Content, mid, req[4:8], "", "state")
}

// A separate response, confirmable or not, also acknowledges its request, because the empty ACK
// before it may have been lost (RFC 7252 §5.2.2).
func TestSeparateResponses(t *testing.T) {
	for _, method := range []codes.Code{codes.POST, codes.GET} {
		for _, typ := range []coap.Type{coap.Confirmable, coap.NonConfirmable} {
			for _, tc := range []struct {
				name string
				do   func(t *testing.T, c *Conn, peer *memConn, done <-chan error, req []byte)
			}{
				{"whose ACK was lost", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error,
					req []byte) {
					time.Sleep(600 * time.Millisecond)
					_, _ = peer.Write(makeResponse(t, typ, 0xabcd, req))
				}},
				{"before the ACK", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
					_, _ = peer.Write(makeResponse(t, typ, 0xabcd, req))
					_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
				}},
				{"after the ACK", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
					_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
					time.Sleep(9 * time.Second)
					_, _ = peer.Write(makeResponse(t, typ, 0xabcd, req))
				}},
				{"with the message ID of the request",
					func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
						_, _ = peer.Write(makeResponse(t, typ, uint16(req[2])<<8|uint16(req[3]), req))
					}},
				{"after the last retransmission",
					func(t *testing.T, c *Conn, peer *memConn, done <-chan error, req []byte) {
						for range message.MaxRetransmit {
							if got := peer.nextDatagram(20 * time.Second); !bytes.Equal(got, req) {
								t.Fatalf("got %x, want a retransmission", got)
							}
						}
						time.Sleep(20 * time.Second)
						_, _ = peer.Write(makeResponse(t, typ, 0xabcd, req))
					}},
			} {
				t.Run(method.String()+" "+typ.String()+" "+tc.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c, peer := newMemLink(t, nil)
						done := startRequest(c, method, time.Minute)
						req := peer.nextDatagram(time.Second)
						tc.do(t, c, peer, done, req)
						synctest.Wait()
						select {
						case err := <-done:
							if err != nil {
								t.Fatal(err)
							}
						default:
							t.Fatal("the response was not accepted as the answer")
						}
						mid := []byte{0xab, 0xcd}
						if tc.name == "with the message ID of the request" {
							mid = req[2:4]
						}
						wantOnlyACK(t, peer, typ, mid)

						// The response comes again, as if its ACK had been lost too.
						_, _ = peer.Write(makeResponse(t, typ, uint16(mid[0])<<8|uint16(mid[1]), req))
						wantOnlyACK(t, peer, typ, mid)
						checkNextRequest(t, c, peer)
					})
				})
			}
		}
	}
}

// wantOnlyACK checks that a confirmable response gets an ACK, and that nothing else is sent: no
// retransmission of the request and no second ACK.
func wantOnlyACK(t *testing.T, peer *memConn, typ coap.Type, mid []byte) {
	t.Helper()
	if typ == coap.Confirmable {
		if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x60, 0, mid[0], mid[1]}) {
			t.Errorf("got %x, want the empty ACK of the response", got)
		}
	}
	if got := peer.nextDatagram(time.Minute); got != nil {
		t.Errorf("got %x, want no further message", got)
	}
}

// checkNextRequest checks that an ordinary request is sent at once and gets its answer.
func checkNextRequest(t *testing.T, c *Conn, peer *memConn) {
	t.Helper()
	done := startRequest(c, codes.GET, time.Second)
	req := peer.nextDatagram(time.Second)
	if req == nil {
		t.Fatal("the next request was not sent")
	}
	_, _ = peer.Write(encodeMessage(t, coap.Acknowledgement, codes.Content, uint16(req[2])<<8|uint16(req[3]),
		req[4:8], "", "state"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A response that comes when nobody waits any more is acknowledged, so that the other side stops
// retransmitting it. It is not taken for the answer to another request.
func TestLateSeparateResponse(t *testing.T) {
	for _, typ := range []coap.Type{coap.Confirmable, coap.NonConfirmable} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := newMemLink(t, nil)
			err := <-startRequest(c, codes.POST, 500*time.Millisecond)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want its deadline", err)
			}
			first := peer.nextDatagram(time.Second)
			second := startRequest(c, codes.POST, 700*time.Millisecond)
			if peer.nextDatagram(time.Second) == nil {
				t.Fatal("nothing sent")
			}
			_, _ = peer.Write(makeResponse(t, typ, 0xabcd, first))
			if err := <-second; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want its deadline", err)
			}
			wantOnlyACK(t, peer, typ, []byte{0xab, 0xcd})
			checkNextRequest(t, c, peer)
		})
	}
}
