package e2e

import (
	"context"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"

	"latchkey/keys"
)

// pdu is a CoAP message as coap-client logs it.
type pdu struct{ typ, code, mid, token, options, payload string }

var shown = regexp.MustCompile(`^v:1 t:(\w+) c:(\S+) i:([0-9a-f]{4}) \{([0-9a-f]*)\} \[ (.*?) ?\](?: :: (.*))?$`)

// displays is what coap-client prints before an answer that it shows to its user. It does not show
// a 4.01 with an Echo, but repeats the request.
const displays = "process incoming "

// needsAnswer tells whether a message is a request or a ping.
func (m pdu) needsAnswer() bool { return m.code[0] >= 'A' || m.code == "0.00" && m.typ == "CON" }

func (m pdu) option(name string) (values []string) {
	for o := range strings.SplitSeq(m.options, ", ") {
		if v, ok := strings.CutPrefix(o, name+":"); ok {
			values = append(values, v)
		}
	}
	return values
}

// talk is the messages of one session of coap-client.
type talk struct {
	all     []pdu // without retransmissions
	printed string
}

func (d *door) clientFor(t *testing.T, k keys.Key) stock {
	t.Helper()
	s := d.stockClient("coap-client-openssl", k)
	s.t = t
	return s
}

// recordTalk makes one request and returns all messages of its session.
func (s stock) recordTalk(path string, args ...string) (c talk) {
	s.t.Helper()
	c.printed = s.sendRequest(path, append([]string{"-v", "7", "-w"}, args...)...)
	for line := range strings.Lines(c.printed) {
		f := shown.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if f == nil {
			continue
		}
		m := pdu{f[1], f[2], f[3], f[4], f[5], strings.TrimSuffix(strings.TrimPrefix(f[6], "'"), "'")}
		if last := len(c.all) - 1; last >= 0 && m.needsAnswer() && c.all[last].needsAnswer() &&
			m.mid == c.all[last].mid {
			// The client logs a message when it is built, when it is sent, and at each
			// retransmission.
			c.all[last] = m
			continue
		}
		c.all = append(c.all, m)
	}
	return c
}

// wantAnswer checks that each request got one answer, in one message (RFC 7252 §5.2), and that the
// answer to the n-th has this code. The client must also have shown that answer to its user.
func (c talk) wantAnswer(t *testing.T, n int, code string) pdu {
	t.Helper()
	for i, m := range c.all {
		if m.needsAnswer() != (i%2 == 0) {
			t.Fatalf("message %d: want requests and answers in turn, got\n%s", i, c.printed)
		}
	}
	if len(c.all)%2 != 0 || len(c.all) < 2*n+2 {
		t.Fatalf("request %d: no answer in\n%s", n, c.printed)
	}
	q, a := c.all[2*n], c.all[2*n+1]
	typ := map[string]string{"CON": "ACK", "NON": "NON"}[q.typ]
	if a.typ != typ || a.token != q.token || q.typ == "CON" && a.mid != q.mid || a.code != code {
		t.Errorf("got %+v for %+v, want a %s of type %s", a, q, code, typ)
	}
	formats := len(a.option("Content-Format"))
	switch refused := code[0] >= '4'; {
	case refused && (a.payload == "" || formats != 0): // RFC 7252 §5.5.2
		t.Errorf("got %+v, want a diagnostic payload, without a Content-Format", a)
	case !refused && a.payload != "" && formats != 1:
		t.Errorf("got %+v, want one Content-Format", a)
	}
	show := a.payload
	if code[0] >= '4' {
		show = code
	}
	if binary := strings.HasPrefix(show, "binary data"); !binary && code != "4.01" &&
		!strings.Contains(c.printed, displays+code+" response:\n"+show) {
		t.Errorf("the client displays no %q:\n%s", show, c.printed)
	}
	return a
}

// displayed returns what the client shows its user of the first answer.
func (c talk) displayed() string {
	_, after, _ := strings.Cut(c.printed, displays)
	_, after, _ = strings.Cut(after, "\n")
	line, _, _ := strings.Cut(after, "\n")
	return line
}

// wantRepeats checks how many retransmissions the client sent.
func (c talk) wantRepeats(t *testing.T, want int) {
	t.Helper()
	if got := strings.Count(c.printed, ": retransmission #"); got != want {
		t.Errorf("the client sent %d retransmissions, want %d:\n%s", got, want, c.printed)
	}
}

// bare is a session of openssl s_client, through which a test sends messages that coap-client
// cannot send.
type bare struct {
	t   *testing.T
	in  io.Writer
	out chan []byte
	mid int32
}

// sClient starts openssl s_client with a key and more arguments.
func sClient(t *testing.T, addr string, k keys.Key, args ...string) (cmd *exec.Cmd, in io.Writer,
	out io.Reader) {
	t.Helper()
	cmd = exec.Command(findProgram(t, "openssl", opensslPackage),
		append([]string{"s_client", "-dtls1_2", "-quiet", "-connect", addr, "-psk", secretInHex(k),
			"-psk_identity", string(k.ID)}, args...)...)
	in, err := cmd.StdinPipe()
	if err == nil {
		out, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, in, out
}

func (d *door) openDTLS(t *testing.T, k keys.Key) *bare {
	t.Helper()
	cmd, in, out := sClient(t, d.addr, k)
	c := &bare{t: t, in: in, out: make(chan []byte, 16)}
	go func() {
		defer close(c.out)
		for buf := make([]byte, 2048); ; { // s_client writes the content of a record in one write
			n, err := out.Read(buf)
			if err != nil {
				return
			}
			c.out <- slices.Clone(buf[:n])
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range c.out {
		}
		_ = cmd.Wait()
	})
	return c
}

func (c *bare) sendBytes(b []byte) {
	c.t.Helper()
	if _, err := c.in.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *bare) receiveBytes() []byte {
	c.t.Helper()
	select {
	case b, ok := <-c.out:
		if ok {
			return b
		}
	case <-time.After(10 * time.Second):
	}
	c.t.Fatal("openssl s_client received nothing")
	return nil
}

// sendRequest sends a request and checks that the next message is its answer, with this code and of
// the right type.
func (c *bare) sendRequest(typ message.Type, method codes.Code, path string, token []byte, code codes.Code,
	more ...func(*pool.Message)) *pool.Message {
	c.t.Helper()
	c.mid++
	q := pool.NewMessage(context.Background())
	q.SetCode(method)
	q.SetToken(token)
	q.SetType(typ)
	q.SetMessageID(c.mid)
	if err := q.SetPath(path); err != nil {
		c.t.Fatal(err)
	}
	for _, f := range more {
		f(q)
	}
	b, err := q.MarshalWithEncoder(coder.DefaultCoder)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sendBytes(b)
	a := pool.NewMessage(context.Background())
	heard := c.receiveBytes()
	if _, err := a.UnmarshalWithDecoder(coder.DefaultCoder, heard); err != nil {
		c.t.Fatalf("%x: %v", heard, err)
	}
	want := message.NonConfirmable
	if typ == message.Confirmable {
		want = message.Acknowledgement
	}
	if a.Code() != code || a.Type() != want || !slices.Equal(a.Token(), token) ||
		typ == message.Confirmable && a.MessageID() != c.mid {
		c.t.Errorf("%s %s: got %s, want %s in a %s", method, path, a, code, want)
	}
	if _, err := a.Observe(); err == nil {
		c.t.Errorf("%s %s: got %s, want no Observe", method, path, a)
	}
	return a
}

// checkPing sends a CoAP ping, an empty message, and checks that the next message is its Reset (RFC
// 7252 §4.3).
func (c *bare) checkPing() {
	c.t.Helper()
	c.sendBytes([]byte{0x40, 0, 0xbe, 0xef})
	if got := c.receiveBytes(); !slices.Equal(got, []byte{0x70, 0, 0xbe, 0xef}) {
		c.t.Errorf("got %x, want the Reset of a ping", got)
	}
}
