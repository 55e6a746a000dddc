package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
	"latchkey/gateway/store"
)

func TestDoctorNeedsAGateway(t *testing.T) {
	if code, text := newSite(t).do("GET", "/v1/doctor", ""); code != 503 ||
		!strings.Contains(text, api.TypeNoGateway) {
		t.Errorf("got %d %s, want 503 because no gateway runs", code, text)
	}
}

// findFailure returns the findings of a gateway whose store has failed with err; none if err is
// nil.
func findFailure(err error) []doctor.Finding {
	if err == nil {
		return nil
	}
	return []doctor.Finding{doctor.StoreFinding(err)}
}

// Findings about the gateway itself come first. A diagnosis of one device has none of them except a
// failed store.
func TestDoctorLooksAtTheGatewayToo(t *testing.T) {
	var sick error
	s := newSite(t, withLive(&running{}),
		func(c *admin.Config) { c.Health = func() []doctor.Finding { return findFailure(sick) } })
	s.must("POST", "/v1/targets", `{"name":"door","kind":"door","pulse":"3s"}`, nil)
	s.must("POST", "/v1/devices", `{"name":"meter","kind":"sensor","targets":["door"]}`, nil)
	for _, tc := range []struct {
		path string
		sick error
		want string
	}{
		{"/v1/doctor", nil, "clock no-traffic"},
		{"/v1/doctor", errors.New("a commit failed"), "store clock no-traffic"},
		{"/v1/doctor?device=meter", nil, "no-traffic"},
		{"/v1/doctor?device=meter", errors.New("a commit failed"), "store no-traffic"},
	} {
		sick = tc.sick
		var d api.Diagnosis
		s.must("GET", tc.path, "", &d)
		var codes []string
		for _, f := range d.Findings {
			codes = append(codes, f.Code)
			if f.Text == "" || f.Do == "" {
				t.Errorf("%s: got %+v, want a text and what to do", tc.path, f)
			}
		}
		if got := strings.Join(codes, " "); got != tc.want {
			t.Errorf("%s with %v: got %s, want %s", tc.path, tc.sick, got, tc.want)
		}
	}
	var d api.Diagnosis
	if s.must("GET", "/v1/doctor", "", &d); !strings.Contains(fmt.Sprint(d.Findings), "nobody set it") {
		t.Errorf("got %+v, want the reason why the clock is not trusted", d.Findings)
	}
}

// The doctor reports a disk that is nearly full while doors still open.
func TestDoctorLooksAtTheDisk(t *testing.T) {
	free := uint64(300 << 20)
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(),
		Free: func() (uint64, error) { return free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	s := newSite(t, withLive(&running{}), func(c *admin.Config) { c.Store = st })
	var d api.Diagnosis
	if s.must("GET", "/v1/doctor", "", &d); d.Space == nil || d.Space.Free != free || d.Space.Used == 0 ||
		len(d.Findings) != 1 {
		t.Errorf("got %+v and %+v, want the space, and only the finding about the clock", d.Space, d.Findings)
	}
	free = 200 << 20
	s.must("GET", "/v1/doctor", "", &d)
	if i := slices.IndexFunc(d.Findings, func(f doctor.Finding) bool { return f.Code == "space" }); i < 0 ||
		!strings.Contains(d.Findings[i].Text, "210 MB are free") {
		t.Errorf("got %+v, want that the disk is nearly full", d.Findings)
	}
}

// The answer is bounded even if a big site has every device switched off.
func TestDoctorIsBounded(t *testing.T) {
	r := &running{past: doctor.Handshakes{Since: time.Now()}}
	s := newSite(t, withLive(r))
	s.must("POST", "/v1/targets", `{"name":"door","kind":"door","pulse":"3s"}`, nil)
	const devices = 230
	for i := range devices {
		s.must("POST", "/v1/devices", fmt.Sprintf(`{"name":"meter-%d","kind":"sensor","targets":["door"]}`,
			i), nil)
	}
	for i := range 2000 {
		r.past.Failures = append(r.past.Failures, doctor.Failure{Cause: doctor.CauseUnknownIdentity,
			Identity: fmt.Sprint("lk-", i), Last: time.Now()})
	}
	var d api.Diagnosis
	s.must("GET", "/v1/doctor", "", &d)
	if got, want := len(d.Findings)+d.More, 1+devices+16; got != want || len(d.Findings) != 200 ||
		len(d.Failures) != 2000 {
		t.Errorf("got %d findings, %d more and %d failures, want 200 of %d and all 2000", len(d.Findings),
			d.More, len(d.Failures), want)
	}
}
