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

// request sends a request with that method and tells the code of its answer.
func request(c *Conn, method codes.Code, limit time.Duration) <-chan error {
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

// answers is a 2.05 of a type of its own, with the token of a request.
func answers(t *testing.T, typ coap.Type, mid uint16, req []byte) []byte {
	return encoded(t, typ, codes.Content, mid, req[4:8], "", "state")
}

// A separate response, confirmable or not, acknowledges its request: the empty ACK before it may be
// lost (RFC 7252 §5.2.2).
func TestSeparateResponses(t *testing.T) {
	for _, method := range []codes.Code{codes.POST, codes.GET} {
		for _, typ := range []coap.Type{coap.Confirmable, coap.NonConfirmable} {
			for _, tc := range []struct {
				name string
				do   func(t *testing.T, c *Conn, peer *memConn, done <-chan error, req []byte)
			}{
				{"whose ACK was lost", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
					time.Sleep(600 * time.Millisecond)
					_, _ = peer.Write(answers(t, typ, 0xabcd, req))
				}},
				{"before the ACK", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
					_, _ = peer.Write(answers(t, typ, 0xabcd, req))
					_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
				}},
				{"after the ACK", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
					_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
					time.Sleep(9 * time.Second)
					_, _ = peer.Write(answers(t, typ, 0xabcd, req))
				}},
				{"with the message ID of the request", func(t *testing.T, _ *Conn, peer *memConn, done <-chan error, req []byte) {
					_, _ = peer.Write(answers(t, typ, uint16(req[2])<<8|uint16(req[3]), req))
				}},
				{"after the last repeat", func(t *testing.T, c *Conn, peer *memConn, done <-chan error, req []byte) {
					for range maxRetransmit {
						if got := peer.next(20 * time.Second); !bytes.Equal(got, req) {
							t.Fatalf("got %x, want a repeat", got)
						}
					}
					time.Sleep(20 * time.Second)
					_, _ = peer.Write(answers(t, typ, 0xabcd, req))
				}},
			} {
				t.Run(method.String()+" "+typ.String()+" "+tc.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c, peer := memLink(t, nil)
						done := request(c, method, time.Minute)
						req := peer.next(time.Second)
						tc.do(t, c, peer, done, req)
						synctest.Wait()
						select {
						case err := <-done:
							if err != nil {
								t.Fatal(err)
							}
						default:
							t.Fatal("it was not taken for the answer")
						}
						mid := []byte{0xab, 0xcd}
						if tc.name == "with the message ID of the request" {
							mid = req[2:4]
						}
						quiet(t, peer, typ, mid)

						// The ACK of the response was lost too.
						_, _ = peer.Write(answers(t, typ, uint16(mid[0])<<8|uint16(mid[1]), req))
						quiet(t, peer, typ, mid)
						next(t, c, peer)
					})
				})
			}
		}
	}
}

// quiet wants the ACK of a confirmable response, and then nothing: no repeat of the request, no
// second ACK.
func quiet(t *testing.T, peer *memConn, typ coap.Type, mid []byte) {
	t.Helper()
	if typ == coap.Confirmable {
		if got := peer.next(time.Second); !bytes.Equal(got, []byte{0x60, 0, mid[0], mid[1]}) {
			t.Errorf("got %x, want the empty ACK of the response", got)
		}
	}
	if got := peer.next(time.Minute); got != nil {
		t.Errorf("got %x, want nothing more", got)
	}
}

// next makes an ordinary request, which must not be held up.
func next(t *testing.T, c *Conn, peer *memConn) {
	t.Helper()
	done := request(c, codes.GET, time.Second)
	req := peer.next(time.Second)
	if req == nil {
		t.Fatal("the next request was not sent")
	}
	_, _ = peer.Write(encoded(t, coap.Acknowledgement, codes.Content, uint16(req[2])<<8|uint16(req[3]), req[4:8], "", "state"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A response that comes when nobody waits any more is acknowledged, so that the other side repeats
// it no more, and answers no other request.
func TestLateSeparateResponse(t *testing.T) {
	for _, typ := range []coap.Type{coap.Confirmable, coap.NonConfirmable} {
		synctest.Test(t, func(t *testing.T) {
			c, peer := memLink(t, nil)
			if err := <-request(c, codes.POST, 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want its deadline", err)
			}
			first := peer.next(time.Second)
			second := request(c, codes.POST, 700*time.Millisecond)
			if peer.next(time.Second) == nil {
				t.Fatal("nothing sent")
			}
			_, _ = peer.Write(answers(t, typ, 0xabcd, first))
			if err := <-second; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want its deadline", err)
			}
			quiet(t, peer, typ, []byte{0xab, 0xcd})
			next(t, c, peer)
		})
	}
}

// How long the other side took for a separate response says nothing of the round trip.
func TestSeparateResponseIsNoRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := memLink(t, nil)
		done := request(c, codes.POST, time.Minute)
		req := peer.next(time.Second)
		time.Sleep(900 * time.Millisecond)
		_, _ = peer.Write(answers(t, coap.Confirmable, 0xabcd, req))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.trip != (message.RoundTrip{}) {
			t.Errorf("got a round trip of %v, want none", c.trip)
		}
	})
}
