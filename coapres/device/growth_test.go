package device_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

var (
	elective = []byte{0x18, 0x28, 0x65, 'l', 'a', 't', 'e', 'r'} // 40: "later"
	critical = []byte{0x18, 0x1f, 0x01}                          // 31: 1
)

// with is a map of fewer than 23 members with one more at its end.
func with(b, member []byte) []byte { return append(append([]byte{b[0] + 1}, b[1:]...), member...) }

// grows has the gateway's verdicts hold one more member from now on, as those of a newer gateway
// may.
func (p *post) grows(member []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.adds = member
}

func (p *post) add(resp *pool.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.adds == nil || resp.Body() == nil || resp.Code() != codes.Changed {
		return
	}
	b, err := io.ReadAll(resp.Body())
	if err != nil {
		p.t.Error(err)
	}
	resp.SetBody(bytes.NewReader(with(b, p.adds)))
}

// scanner is a reader of any make.
type scanner interface {
	Scan(ctx context.Context, uid []byte) (wire.Verdict, error)
}

// readsGrown wants a reader to take what a newer gateway may add to a verdict, and to refuse what
// it must understand.
func (p *post) readsGrown(r scanner) {
	p.t.Helper()
	for _, tc := range []struct {
		rule   string
		member []byte
		want   bool
	}{
		{"an old gateway", nil, true},
		{"a newer gateway", elective, true},
		{"a gateway that wants to be understood", critical, false},
	} {
		p.grows(tc.member)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		v, err := r.Scan(ctx, []byte{1, 2, 3, 4})
		cancel()
		if granted := err == nil && v.Verdict == wire.Granted; granted != tc.want {
			p.t.Errorf("%s: got %+v, %v, want granted %v", tc.rule, v, err, tc.want)
		}
	}
	p.grows(nil)
}

// obeysWhole wants a lock to move for a command that it understands as a whole alone.
func (p *post) obeysWhole(peer *coapres.Peer, moves func() int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, tc := range []struct {
		rule   string
		member []byte
		want   codes.Code
		key    string // that it names when it refuses
	}{
		{"an elective member", elective, codes.BadRequest, "key 40"},
		{"a critical member", critical, codes.BadRequest, "key 31"},
		{"nothing more", nil, codes.Changed, ""},
	} {
		if _, err := coapres.ReadState(ctx, peer); err != nil {
			p.t.Fatal(err)
		}
		now := time.Now()
		echo, age := peer.Held.Age(now, now)
		b, err := wire.Command{ID: 7, Action: wire.Unlock, Duration: 500, Age: age}.Encode(wire.CBOR)
		if err != nil {
			p.t.Fatal(err)
		}
		if tc.member != nil {
			b = with(b, tc.member)
		}
		a, err := coapres.Call(ctx, peer.Caller, &peer.Held, coapres.Request{Method: codes.POST, Path: "/act",
			Echo: echo, Format: wire.CBOR, Body: b})
		if err != nil || a.Code != tc.want {
			p.t.Errorf("a command with %s: got %s, %v, want %s", tc.rule, a.Code, err, tc.want)
		}
		if why := a.Diagnostic(); tc.key != "" && !strings.Contains(why, tc.key) {
			p.t.Errorf("a command with %s: the lock says %q, want %q in it", tc.rule, why, tc.key)
		}
		if tc.want == codes.Changed {
			until(p.t, "the lock has moved", func() bool { return moves() == 1 }) // a program tells of it after its receipt
		} else if got := moves(); got != 0 {
			p.t.Errorf("a command with %s: the lock moved %d times", tc.rule, got)
		}
	}
}

func TestNewerGateway(t *testing.T) {
	p := newPost(t)
	reader, _ := p.node(device.Config{Kind: keys.KindReader}, p.addr)
	p.readsGrown(reader)
	lock, peer := p.node(device.Config{Kind: keys.KindLock}, p.addr)
	p.obeysWhole(peer, lock.Moves)
}
