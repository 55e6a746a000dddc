package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// diagnose asks the admin API what is wrong with a device, or with all devices if the name is
// empty. found lists the devices and codes of the findings.
func (s *site) diagnose(device string) (d api.Diagnosis, found string) {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.gw.AdminHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/doctor?device="+device, nil))
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != http.StatusOK {
		s.t.Fatalf("got %d %s, want a diagnosis", w.Code, w.Body)
	}
	var codes []string
	for _, f := range d.Findings {
		codes = append(codes, strings.TrimSpace(f.Device.Name+" "+f.Code))
	}
	return d, strings.Join(codes, ", ")
}

// Handshakes over real DTLS fail for each possible reason, and the doctor names the right one.
func TestDoctorTellsFailuresApart(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	_, revoked := d.enrolDevice("back-reader", keys.KindReader, d.id)
	_, mistyped := d.enrolDevice("side-reader", keys.KindReader, d.id)
	d.enrolDevice("unplugged", keys.KindReader, d.id)
	d.revokeKey(revoked)
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	if got, found := d.diagnose("front-lock"); found != "" || got.Device.Live == nil ||
		!got.Device.Live.Online || got.Device.Keys[0].LastSeen.IsZero() {
		t.Errorf("an online lock: got %+v, want no finding", got)
	}

	slip := mistyped
	last := string(slip.ID[len(slip.ID)-1])
	slip.ID = slip.ID[:len(slip.ID)-1] + keys.ID(map[bool]string{true: "1", false: "0"}[last == "0"])
	var wg sync.WaitGroup
	for _, k := range []keys.Key{{ID: d.readerKey.ID, Secret: keys.NewSecret()},
		{ID: revoked.ID, Secret: revoked.Secret}, slip, provision.New("nobody")} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if c, err := transport.Dial(ctx, d.addr, k.ID, k.Secret, nil); err == nil {
				_ = c.End()
				t.Errorf("%s opened a session", k.ID)
			}
		})
	}
	wantRefusal(t, "a suite that the gateway does not offer",
		d.tryHandshake(d.addr, nil, "-dtls1_2", "-cipher", "PSK-AES128-GCM-SHA256"))
	wg.Wait()
	want := map[doctor.Cause]uint64{doctor.CauseWrongKey: 1, doctor.CauseRevoked: 1,
		doctor.CauseUnknownIdentity: 2, doctor.CauseNoCommonSuite: 1}
	eventually(t, "each failure is counted under its cause", time.Minute, func() bool {
		got, _ := d.diagnose("")
		for _, c := range got.Counts {
			if c.Count != want[c.Cause] {
				return false
			}
		}
		return len(got.Counts) == len(doctor.Causes)
	})

	for _, tc := range []struct{ rule, device, found, says, hides string }{
		{"a wrong key", "front-reader", "front-reader wrong-key", string(d.readerKey.ID), "nearly"},
		{"a revoked key", "back-reader", "back-reader revoked", string(revoked.ID), "nearly"},
		{"a mistyped identity", "side-reader",
			"side-reader no-traffic, no-common-suite, unknown-identity, unknown-identity",
			"it is nearly " + string(mistyped.ID) + " of side-reader", ""},
		{"no traffic, beside failures of unknown devices", "unplugged",
			"unplugged no-traffic, no-common-suite, unknown-identity", "if it is unplugged, ", "nearly"},
		{"an online lock", "front-lock", "", "", "if it is"},
	} {
		got, found := d.diagnose(tc.device)
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if sortList(found) != sortList(tc.found) || !strings.Contains(string(text), tc.says) ||
			tc.hides != "" &&
				strings.Contains(string(text), tc.hides) {
			t.Errorf("%s: got %s\n%s\nwant %s, with %q and without %q", tc.rule, found, text, tc.found,
				tc.says, tc.hides)
		}
		if len(got.Failures) == 0 != (tc.found == "") {
			t.Errorf("%s: got failures %+v", tc.rule, got.Failures)
		}
	}
	_, found := d.diagnose("")
	if want := "back-reader revoked, front-reader wrong-key, side-reader no-traffic, unplugged no-traffic, no-common-suite, unknown-identity, unknown-identity"; sortList(found) != sortList(want) {
		t.Errorf("got %s, want %s", found, want)
	}

	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	if got, found := d.diagnose("front-reader"); found != "" || len(got.Failures) != 1 {
		t.Errorf("with the right key: got %s and %d failures, want no finding and the earlier failure", found,
			len(got.Failures))
	}
}

// sortList sorts a list, because failures of the same moment come in any order.
func sortList(list string) string {
	all := strings.Split(list, ", ")
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// For a device that was online and has left, the doctor says when it was last heard.
func TestDoctorTellsWhoWent(t *testing.T) {
	t.Parallel()
	s := newSite(t, store.Options{})
	_, k := s.enrolDevice("meter", keys.KindSensor, s.addTarget("desk", access.Lamp, 0))
	c, err := transport.Dial(t.Context(), s.addr, k.ID, k.Secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has a session", 5*time.Second, func() bool { return len(s.gw.Views()) == 1 })
	_ = c.End()
	<-c.Done()
	eventually(t, "it is offline", 5*time.Second,
		func() bool { _, found := s.diagnose("meter"); return found == "meter offline" })
	d, _ := s.diagnose("")
	if len(d.Findings) != 1 || !strings.Contains(d.Findings[0].Text, "last heard at ") ||
		!strings.HasSuffix(d.Findings[0].Text, "from 127.0.0.1:"+portOf(s.gw.Views()[0].Addr)) {
		t.Errorf("got %+v, want one finding: offline, last heard at a time, from its address", d.Findings)
	}
}

// portOf returns the port in an association's address.
func portOf(addr string) string {
	_, rest, _ := strings.Cut(addr, ":")
	p, _, _ := strings.Cut(rest, "#")
	return p
}
