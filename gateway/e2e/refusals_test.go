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

// lastRefusal returns the last refusal that the doctor shows for a device.
func (s *site) lastRefusal(device string) (r doctor.Refusal) {
	s.t.Helper()
	d, _ := s.diagnose(device)
	if d.Device == nil || d.Device.Live == nil || d.Device.Live.Refused == nil {
		return doctor.Refusal{}
	}
	r = *d.Device.Live.Refused
	if age := time.Since(r.At); age < 0 || age > time.Minute {
		s.t.Errorf("got a refusal of %v ago, want it within a minute", age)
	}
	r.At = time.Time{}
	return r
}

// The doctor shows the last refused request between the gateway and a device, which side refused
// it, and why.
func TestDoctorShowsTheLastRefusal(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	reader := d.connectNewer(d.readerKey, nil)
	if got := d.lastRefusal("front-reader"); got != (doctor.Refusal{}) {
		t.Errorf("at first: got %+v, want none", got)
	}
	for _, tc := range []struct {
		rule string
		body string
		code codes.Code
		want doctor.Refusal
	}{
		{"a 4.01", `{"n":1,"uid":"04a1b2c3d4e580"}`, codes.Unauthorized,
			doctor.Refusal{Request: "POST /scan", Code: "4.01", Why: "no Echo"}},
		{"a 4.00 after a 4.01", `{"n":1,"uid":"c0ffee"}`, codes.BadRequest,
			doctor.Refusal{Request: "POST /scan", Code: "4.00", Why: "scan: uid must be 4, 7 or 10 bytes"}},
		{"a 4.01 does not hide the 4.00", `{"n":1,"uid":"04a1b2c3d4e580"}`, codes.Unauthorized,
			doctor.Refusal{Request: "POST /scan", Code: "4.00", Why: "scan: uid must be 4, 7 or 10 bytes"}},
	} {
		a := reader.sendRequest(coapres.Request{Method: codes.POST, Path: "/scan", Format: wire.JSON,
			Body: []byte(tc.body)}, tc.code)
		if got := d.lastRefusal("front-reader"); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.rule, got, tc.want)
		}
		if tc.code == codes.BadRequest && a.Diagnostic() != tc.want.Why {
			t.Errorf("%s: the reader got the diagnostic %q, want %q", tc.rule, a.Diagnostic(), tc.want.Why)
		}
	}
	raw, err := json.Marshal(func() any { r, _ := d.diagnose(""); return r }())
	if err != nil || strings.Contains(string(raw), "c0ffee") {
		t.Errorf("got %v and %s, want no part of the body", err, raw)
	}

	// A request that is refused because of its options.
	c := d.openDTLS(t, d.readerKey)
	a := c.sendRequest(0, codes.POST, "/scan", []byte("t"), codes.BadOption,
		func(m *pool.Message) { m.SetOptionBytes(27, []byte{6}) })
	if b, err := a.ReadBody(); err != nil || string(b) != "option 27" {
		t.Errorf("got %q, %v, want the option's number", b, err)
	}
	want := doctor.Refusal{Code: "4.02", Why: "option 27"}
	if got := d.lastRefusal("front-reader"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// A command that the lock refuses.
	d.connectNewer(d.lockKey, func(c *transport.Conn, req, resp *pool.Message, at time.Time) {
		newLockHandler(t, []byte{0xa1, 0x0a, 0xf4}, "", 0)(c, req, resp, at)
		if req.Code() == codes.POST {
			resp.SetCode(codes.BadRequest)
			resp.Remove(12)
			resp.SetBody(bytes.NewReader([]byte("key 9\x1b[2J")))
		}
	})
	d.awaitLockState()
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Retry {
		t.Errorf("got %+v, %v, want retry", v, err)
	}
	if got, want := d.lastRefusal("front-lock"), (doctor.Refusal{ByDevice: true, Request: "POST /act",
		Code: "4.00", Why: "key 9[2J"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
