package e2e

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/gateway/doctor"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// refused is what doctor says was last refused of a device.
func (s *site) refused(device string) (r doctor.Refusal) {
	s.t.Helper()
	d, _ := s.diagnose(device)
	if d.Device == nil || d.Device.Live == nil || d.Device.Live.Refused == nil {
		return doctor.Refusal{}
	}
	r = *d.Device.Live.Refused
	if age := time.Since(r.At); age < 0 || age > time.Minute {
		s.t.Errorf("refused %v ago", age)
	}
	r.At = time.Time{}
	return r
}

// Doctor shows what was refused last of a device, by either side, and why.
func TestDoctorShowsTheLastRefusal(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	reader := d.newer(d.readerKey, nil)
	if got := d.refused("front-reader"); got != (doctor.Refusal{}) {
		t.Errorf("before any: got %+v", got)
	}
	for _, tc := range []struct {
		rule string
		body string
		code codes.Code
		want doctor.Refusal
	}{
		{"a 4.01", `{"n":1,"uid":"04a1b2c3d4e580"}`, codes.Unauthorized, doctor.Refusal{Request: "POST /scan", Code: "4.01", Why: "no Echo"}},
		{"a 4.00 after it", `{"n":1,"uid":"c0ffee"}`, codes.BadRequest, doctor.Refusal{Request: "POST /scan", Code: "4.00", Why: "scan: uid must be 4, 7 or 10 bytes"}},
		{"a 4.01, which does not hide it", `{"n":1,"uid":"04a1b2c3d4e580"}`, codes.Unauthorized,
			doctor.Refusal{Request: "POST /scan", Code: "4.00", Why: "scan: uid must be 4, 7 or 10 bytes"}},
	} {
		a := reader.call(coapres.Request{Method: codes.POST, Path: "/scan", Format: wire.JSON,
			Body: []byte(tc.body)}, tc.code)
		if got := d.refused("front-reader"); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.rule, got, tc.want)
		}
		if tc.code == codes.BadRequest && a.Diagnostic() != tc.want.Why {
			t.Errorf("%s: the reader was told %q", tc.rule, a.Diagnostic())
		}
	}
	raw, err := json.Marshal(func() any { r, _ := d.diagnose(""); return r }())
	if err != nil || strings.Contains(string(raw), "c0ffee") {
		t.Errorf("got %v and %s, want nothing of the body", err, raw)
	}

	// What its options alone refuse.
	c := d.dtls(t, d.readerKey)
	a := c.ask(0, codes.POST, "/scan", []byte("t"), codes.BadOption,
		func(m *pool.Message) { m.SetOptionBytes(27, []byte{6}) })
	if b, err := a.ReadBody(); err != nil || string(b) != "option 27" {
		t.Errorf("got %q, %v, want the option", b, err)
	}
	if got, want := d.refused("front-reader"), (doctor.Refusal{Code: "4.02", Why: "option 27"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// What the lock refuses.
	d.newer(d.lockKey, func(c *transport.Conn, req, resp *pool.Message, at time.Time) {
		lockOf(t, []byte{0xa1, 0x0a, 0xf4}, "", 0)(c, req, resp, at)
		if req.Code() == codes.POST {
			resp.SetCode(codes.BadRequest)
			resp.Remove(12)
			resp.SetBody(bytes.NewReader([]byte("key 9\x1b[2J")))
		}
	})
	d.settled()
	d.reader = d.node("front-reader", keys.KindReader, d.readerKey, d.addr)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Retry {
		t.Errorf("got %+v, %v, want retry", v, err)
	}
	if got, want := d.refused("front-lock"), (doctor.Refusal{ByDevice: true, Request: "POST /act",
		Code: "4.00", Why: "key 9[2J"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
