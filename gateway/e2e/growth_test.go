package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// newerNode plays a node of a later version: its messages have members that this gateway does not
// know.
type newerNode struct {
	t    *testing.T
	conn *transport.Conn
	held coapres.Held
}

// connectNewer connects a newerNode that answers the gateway's requests with h. Its registration
// has parameters and links that this gateway does not know.
func (s *site) connectNewer(k keys.Key, h transport.Handler) *newerNode {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := transport.Dial(ctx, s.addr, k.ID, k.Secret, h)
	if err != nil {
		s.t.Fatal(err)
	}
	n := &newerNode{t: s.t, conn: conn}
	s.t.Cleanup(func() { cancel(); <-conn.Done() })
	n.sendRequest(coapres.Request{Method: codes.POST, Path: "/rd", Format: 40,
		Query: []string{"lt=90", "base=coaps://[2001:db8::1]", "d=hall", "x", "x=1", "later=2"},
		Body:  []byte(`</act>;rt="latchkey.act later";later="a,b";later2,</later>`)}, codes.Created)
	return n
}

func (n *newerNode) sendRequest(r coapres.Request, want codes.Code) coapres.Answer {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := coapres.Call(ctx, n.conn, &n.held, r)
	if err != nil || a.Code != want {
		n.t.Errorf("%s %s: got %s %q, %v, want %s", r.Method, r.Path, a.Code, a.Body, err, want)
	}
	return a
}

// newestEcho returns the newest Echo that the gateway has sent.
func (n *newerNode) newestEcho() []byte {
	now := time.Now()
	echo, _ := n.held.Age(now, now)
	return echo
}

func decodeHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The members of a later version: 40: 3287, 41: [1, "é"], 70000: true.
const (
	laterState  = "a4" + "0af4" + "1828190cd7" + "1829820162c3a9" + "1a00011170f5" // on: false
	laterUnlock = "1828190cd7" + "1a00011170f5"
)

// newLockHandler serves /act. A GET gets state, a command gets a receipt of the outcome done, with
// the pairs in more appended. pairs is their number.
func newLockHandler(t *testing.T, state []byte, more string, pairs byte) transport.Handler {
	return func(_ *transport.Conn, req, resp *pool.Message, _ time.Time) {
		resp.SetContentFormat(message.AppCBOR)
		if req.Code() == codes.GET {
			resp.SetCode(codes.Content)
			resp.SetBody(bytes.NewReader(state))
			return
		}
		b, _ := req.ReadBody()
		cmd, err := wire.ParseCommand(wire.CBOR, b)
		if err != nil {
			t.Errorf("the command %x: %v", b, err)
		}
		receipt, err := wire.Receipt{Result: wire.Done, State: wire.State{ID: cmd.ID,
			On: true}}.Encode(wire.CBOR)
		if err != nil {
			t.Error(err)
		}
		resp.SetCode(codes.Changed)
		resp.SetBody(bytes.NewReader(append(append([]byte{receipt[0] + pairs}, receipt[1:]...),
			decodeHex(t, more)...)))
	}
}

// A node of a later version works with this gateway as long as its unknown members are elective.
func TestNewerNode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule  string
		more  string // appended to its receipts
		pairs byte
		want  wire.Outcome
	}{
		{"elective members", laterUnlock, 2, wire.Granted},
		{"a critical member", "181f01", 1, wire.Retry}, // the gateway cannot know whether the door opened
	} {
		t.Run(tc.rule, func(t *testing.T) {
			d := newDoor(t, store.Options{})
			lock := d.connectNewer(d.lockKey, newLockHandler(t, decodeHex(t, laterState), tc.more, tc.pairs))
			d.awaitLockState()
			report := coapres.Request{Method: codes.POST, Path: "/report", Echo: lock.newestEcho(),
				Format: wire.SenMLCBOR}
			// "contact": false, 40: 1, "later": [null]
			report.Body = decodeHex(t, "81a40067636f6e7461637404f4182801656c6174657281f6")
			lock.sendRequest(report, codes.Changed)
			report.Body = decodeHex(t, "81a30067636f6e7461637404f4666c617465725f01") // "later_": 1
			lock.sendRequest(report, codes.BadRequest)
			report.Format, report.Body = wire.SenMLJSON,
				[]byte(`[{"n":"contact","vb":false,"later":{"a":[1]}}]`)
			lock.sendRequest(report, codes.Changed)
			eventually(t, "the contact is known", 5*time.Second, func() bool {
				for _, v := range d.gw.Views() {
					if v.Device == d.lockID && v.State.Contact == wire.ContactClosed {
						return true
					}
				}
				return false
			})

			d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
			if v, err := d.scan(annsCard); err != nil || v.Verdict != tc.want {
				t.Errorf("got %+v, %v, want %s", v, err, tc.want)
			}
		})
	}
}

// A scan with any unknown member is refused and not decided: a message that may move a door must be
// understood as a whole.
func TestNewerScanDecidesNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	reader := d.connectNewer(d.readerKey, nil)
	scan := func(n, more string, pairs byte, want codes.Code) {
		t.Helper()
		reader.sendRequest(coapres.Request{Method: codes.POST, Path: "/scan", Echo: reader.newestEcho(),
			Format: wire.CBOR,
			Body:   append([]byte{0xa2 + pairs}, decodeHex(t, "01"+n+"024704a1b2c3d4e580"+more)...)}, want)
	}
	d.wantMoves("a scan with more in it", 0, 0, func() {
		scan("01", "182801", 1, codes.BadRequest)
		scan("01", "181f01", 1, codes.BadRequest)
	})
	d.wantMoves("the same without", 1, 1, func() { scan("01", "", 0, codes.Changed) })
	if tl := d.listTimelines(); len(tl) != 1 || tl[0].Decision.Reason != access.ReasonGranted {
		t.Errorf("got %+v, want one decision, granted", tl)
	}
}
