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

// growMap appends a member to an encoded map of fewer than 23 members.
func growMap(b, member []byte) []byte { return append(append([]byte{b[0] + 1}, b[1:]...), member...) }

// setMember adds a member to the gateway's verdicts from now on, as a newer gateway might.
func (p *post) setMember(member []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.member = member
}

func (p *post) addMember(resp *pool.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.member == nil || resp.Body() == nil || resp.Code() != codes.Changed {
		return
	}
	b, err := io.ReadAll(resp.Body())
	if err != nil {
		p.t.Error(err)
	}
	resp.SetBody(bytes.NewReader(growMap(b, p.member)))
}

// scanner is a simulated reader or one with the firmware.
type scanner interface {
	Scan(ctx context.Context, uid []byte) (wire.Verdict, error)
}

// checkNewerVerdicts checks that a reader ignores an unknown elective member of a verdict, and
// refuses a verdict with an unknown critical one.
func (p *post) checkNewerVerdicts(r scanner) {
	p.t.Helper()
	for _, tc := range []struct {
		rule   string
		member []byte
		want   bool
	}{
		{"no more members", nil, true},
		{"an elective member", elective, true},
		{"a critical member", critical, false},
	} {
		p.setMember(tc.member)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		v, err := r.Scan(ctx, []byte{1, 2, 3, 4})
		cancel()
		if granted := err == nil && v.Verdict == wire.Granted; granted != tc.want {
			p.t.Errorf("%s: got %+v, %v, want granted %v", tc.rule, v, err, tc.want)
		}
	}
	p.setMember(nil)
}

// checkNewerCommands checks that a lock refuses a command with any unknown member, and names the
// member.
func (p *post) checkNewerCommands(peer *coapres.Peer, moves func() int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, tc := range []struct {
		rule   string
		member []byte
		want   codes.Code
		key    string // what the refusal names
	}{
		{"an elective member", elective, codes.BadRequest, "key 40"},
		{"a critical member", critical, codes.BadRequest, "key 31"},
		{"no more members", nil, codes.Changed, ""},
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
			b = growMap(b, tc.member)
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
			// A program reports it after its receipt.
			eventually(p.t, "the lock has moved", func() bool { return moves() == 1 })
		} else if got := moves(); got != 0 {
			p.t.Errorf("a command with %s: the lock moved %d times", tc.rule, got)
		}
	}
}

func TestNewerGateway(t *testing.T) {
	p := newPost(t)
	reader, _ := p.runNode(device.Config{Kind: keys.KindReader}, p.addr)
	p.checkNewerVerdicts(reader)
	lock, peer := p.runNode(device.Config{Kind: keys.KindLock}, p.addr)
	p.checkNewerCommands(peer, lock.Moves)
}
