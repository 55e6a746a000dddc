package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/clock"
	"latchkey/gateway/doctor"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// ward is a gateway that does not run. It has a door whose reader has a good key and a revoked one,
// and a lamp whose only key is revoked.
type ward struct {
	t *testing.T
	*Gateway
	good, old, lamp keys.Key
}

func newWard(t *testing.T) *ward {
	t.Helper()
	st, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC, MaxSessions: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if err := st.Check(context.Background()); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &ward{t: t, Gateway: g}
	door := access.Target{ID: access.NewID(), Name: "door", Kind: access.Door, Pulse: time.Second,
		Created: time.Now()}
	lamp := access.Target{ID: access.NewID(), Name: "desk", Kind: access.Lamp, Created: time.Now()}
	reader := access.Device{ID: access.NewID(), Name: "front-reader", Kind: keys.KindReader,
		Targets: []access.ID{door.ID}, Created: time.Now()}
	light := access.Device{ID: access.NewID(), Name: "desk-lamp", Kind: keys.KindLamp,
		Targets: []access.ID{lamp.ID}, Created: time.Now()}
	w.good, w.old, w.lamp = provision.New(reader.ID), provision.Revoke(provision.New(reader.ID)),
		provision.Revoke(provision.New(light.ID))
	w.good.ID = "lk-0123456789"
	w.apply(door, lamp, reader, light, w.good, w.old, w.lamp)
	return w
}

func (w *ward) apply(records ...access.Record) {
	w.t.Helper()
	var changes []access.Change
	for _, r := range records {
		changes = append(changes, access.Change{Put: r})
	}
	if _, err := w.Apply(context.Background(), "test", changes...); err != nil {
		w.t.Fatal(err)
	}
}

var somewhere = netip.MustParseAddrPort("192.0.2.7:40000")

func (w *ward) noteFailure(cause transport.Cause, identity string, now time.Time) {
	w.nodes.NoteFailure(transport.Failure{Addr: somewhere, Identity: identity, Cause: cause}, now)
}

func (w *ward) getText(path string) (text string) {
	r := httptest.NewRecorder()
	w.AdminHandler().ServeHTTP(r, httptest.NewRequest("GET", path, nil))
	return r.Body.String()
}

// diagnose asks the admin API for a diagnosis, of one device or, if the name is empty, of all.
func (w *ward) diagnose(device string) (d api.Diagnosis) {
	w.t.Helper()
	text := w.getText("/v1/doctor?device=" + device)
	if err := json.Unmarshal([]byte(text), &d); err != nil || d.Since.IsZero() {
		w.t.Fatalf("got %s, %v, want a diagnosis", text, err)
	}
	return d
}

func listCodes(d api.Diagnosis) (out []string) {
	for _, f := range d.Findings {
		out = append(out, strings.TrimSpace(f.Code+" "+f.Device.Name))
	}
	return out
}

func TestCausesOfFailures(t *testing.T) {
	t.Parallel()
	secret := keys.NewSecret()
	for _, tc := range []struct {
		rule     string
		cause    transport.Cause
		identity func(w *ward) string
		counted  doctor.Cause
		all, one string   // findings for all devices, and for front-reader
		says     []string // texts that the diagnosis must contain
	}{
		{"no traffic at all", "", nil, "", "no-traffic front-reader", "no-traffic front-reader",
			[]string{"lk-0123456789", "never been connected"}},
		{"a wrong key", transport.CauseKey, func(w *ward) string { return string(w.good.ID) },
			doctor.CauseWrongKey,
			"wrong-key front-reader", "wrong-key front-reader", []string{"wrong key", "lk-0123456789",
				"192.0.2.7:40000", "latchkey device rekey front-reader"}},
		{"a revoked key of a device that has another key", transport.CauseKey,
			func(w *ward) string { return string(w.old.ID) }, doctor.CauseRevoked,
			"revoked front-reader", "revoked front-reader", []string{"revoked", "newer key"}},
		{"a revoked key of a device that has no other key", transport.CauseKey,
			func(w *ward) string { return string(w.lamp.ID) }, doctor.CauseRevoked,
			"revoked desk-lamp, no-traffic front-reader", "no-traffic front-reader",
			[]string{"if it is to come back: latchkey device rekey desk-lamp"}},
		{"an identity that nobody has", transport.CauseKey, func(*ward) string { return "garage" },
			doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{`the identity "garage", which no device has`}},
		{"an identity that is nearly that of a device", transport.CauseKey,
			func(*ward) string { return "LK-0123456798" }, doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{`"LK-0123456798"`, "nearly lk-0123456789 of front-reader",
				"correct the identity in front-reader"}},
		{"a device's name instead of the identity", transport.CauseKey,
			func(*ward) string { return "front-reader" }, doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{"put lk-0123456789 into front-reader"}},
		{"a secret instead of the identity", transport.CauseKey,
			func(*ward) string { return secret.Reveal() }, doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{"swapped", "in the clear"}},
		{"no common suite", transport.CauseSuite, func(*ward) string { return "" }, doctor.CauseNoCommonSuite,
			"no-traffic front-reader, no-common-suite", "no-traffic front-reader, no-common-suite",
			[]string{"192.0.2.7:40000", "PSK_WITH_AES_128_CCM_8"}},
		{"a fragmented ClientHello", transport.CauseMalformed, func(*ward) string { return "" },
			doctor.CauseMalformed,
			"no-traffic front-reader, malformed", "no-traffic front-reader, malformed",
			[]string{"in one piece"}},
		{"too many sessions", transport.CauseFull, func(w *ward) string { return string(w.good.ID) },
			doctor.CauseFull,
			"full front-reader", "full front-reader", []string{"limit of live sessions is reached (7)",
				"--max-sessions"}},
		{"too many handshakes at once", transport.CauseBusy, func(*ward) string { return "" },
			doctor.CauseBusy, "busy, no-traffic front-reader", "no-traffic front-reader, busy",
			[]string{"too many began at once"}},
		{"a peer that stopped answering", transport.CauseAbandoned, func(*ward) string { return "" },
			doctor.CauseAbandoned,
			"no-traffic front-reader", "no-traffic front-reader", nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := newWard(t)
			if tc.identity != nil {
				w.noteFailure(tc.cause, tc.identity(w), time.Now())
			}
			all, one := w.diagnose(""), w.diagnose("front-reader")
			if got := strings.Join(listCodes(all), ", "); got != tc.all {
				t.Errorf("got %s, want %s", got, tc.all)
			}
			if got := strings.Join(listCodes(one), ", "); got != tc.one {
				t.Errorf("for the reader: got %s, want %s", got, tc.one)
			}
			text := fmt.Sprint(all)
			for _, want := range tc.says {
				if !strings.Contains(text, want) {
					t.Errorf("got %s, want %q in it", text, want)
				}
			}
			if strings.Contains(fmt.Sprint(one), "NAME") {
				t.Errorf("got %v, want the name of the requested device in it", one)
			}
			if strings.Contains(text, secret.Reveal()) {
				t.Error("the secret is shown")
			}
			metrics := w.getText("/metrics")
			for i, c := range doctor.Causes {
				want := uint64(0)
				if c == tc.counted {
					want = 1
				}
				if got := all.Counts[i]; got.Cause != c || got.Count != want ||
					(want > 0) == got.Last.IsZero() {
					t.Errorf("got %+v, want %s %d times", got, c, want)
				}
				if line := fmt.Sprintf("latchkey_handshake_failures_total{cause=%q} %d\n", c,
					want); !strings.Contains(metrics, line) {
					t.Errorf("the metrics have no %s", line)
				}
			}
			if !strings.Contains(metrics, "latchkey_stateless_cookie 1\n") {
				t.Error("the metrics do not say that the cookie is stateless")
			}
			if !strings.Contains(metrics, "latchkey_sessions_max 7\n") || all.Limit != 7 {
				t.Error("got a different limit of sessions, want 7")
			}
		})
	}
}

// A failure is a finding until the device completes a handshake. If the device is unknown or
// revoked, it is a finding for an hour.
func TestFailuresThatAreOver(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	now := time.Now()
	w.noteFailure(transport.CauseKey, "lk-0123456799", now.Add(-time.Minute))
	w.noteFailure(transport.CauseKey, string(w.good.ID), now.Add(-50*time.Hour))
	w.noteFailure(transport.CauseKey, "garage", now.Add(-time.Hour-time.Second))
	w.noteFailure(transport.CauseKey, string(w.lamp.ID), now.Add(-time.Hour-time.Second))
	if got := strings.Join(listCodes(w.diagnose("")),
		", "); got != "wrong-key front-reader, unknown-identity" {
		t.Errorf("got %s, want the unknown identity of a minute ago, and the reader's failure, however old",
			got)
	}
	if d := w.diagnose("desk-lamp"); len(d.Findings) != 1 || !strings.Contains(d.Findings[0].Text,
		string(w.lamp.ID)) {
		t.Errorf("for the revoked lamp by its name: got %+v, want its old failure", d.Findings)
	}
	w.nodes.Handshakes.NoteCompleted(w.good.ID, now)
	d := w.diagnose("")
	if got := strings.Join(listCodes(d), ", "); got != "no-traffic front-reader" || len(d.Failures) != 4 {
		t.Errorf("after a handshake: got %s and %d failures, want no finding of a failure, but all four listed",
			got, len(d.Failures))
	}
	if got := w.diagnose("front-reader").Device.Keys[0].LastSeen; !got.Equal(now) {
		t.Errorf("got a handshake at %v, want %v", got, now)
	}
	w.noteFailure(transport.CauseKey, string(w.good.ID), now.Add(time.Millisecond))
	w.noteFailure(transport.CauseKey, string(w.good.ID), now.Add(2*time.Millisecond))
	d = w.diagnose("front-reader")
	if got := strings.Join(listCodes(d), ", "); got != "wrong-key front-reader" {
		t.Errorf("after one more failure: got %s, want wrong-key", got)
	}
	if f := d.Failures[0]; len(d.Failures) != 1 || f.Count != 3 || f.Identity != string(w.good.ID) ||
		f.Device.Name != "front-reader" ||
		!f.First.Equal(now.Add(-50*time.Hour)) || !f.Last.Equal(now.Add(2*time.Millisecond)) {
		t.Errorf("got %+v, want one entry that counts three", d.Failures)
	}
	w.nodes.Handshakes.ForgetRemoved(access.New())
	if h := w.nodes.Handshakes.Snapshot(); len(h.Completed) != 0 {
		t.Errorf("got %v for removed keys, want nothing", h.Completed)
	}
}

// Limits of package doctor.
const (
	keepFailures = 256 // failures of each kind of peer
	maxClaim     = 64  // bytes of a claimed identity
)

// An attacker who invents identities and addresses fills only bounded memory, evicts only failures
// of unknown devices, and cannot write control characters to a terminal.
func TestHostileFailures(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	now := time.Now()
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
	}
	w.noteFailure(transport.CauseKey, string(w.good.ID), now)
	w.noteFailure(transport.CauseSuite, "", now)
	const n = 5000
	long := strings.Repeat("\xff\x1b[31m\"", 10_000)
	for i := range n {
		now = now.Add(time.Millisecond)
		w.nodes.NoteFailure(transport.Failure{Addr: at(i), Identity: fmt.Sprint("x", i, long),
			Cause: transport.CauseKey}, now)
		w.nodes.NoteFailure(transport.Failure{Addr: at(i), Cause: transport.CauseAbandoned}, now)
		w.nodes.NoteFailure(transport.Failure{Addr: at(i), Cause: transport.CauseBusy}, now)
		w.nodes.NoteFailure(transport.Failure{Addr: at(i), Cause: "something new"}, now)
	}
	w.nodes.NoteFailure(transport.Failure{Cause: transport.CauseFull}, now) // without an address
	d := w.diagnose("")
	count := map[doctor.Cause]int{}
	for _, f := range d.Failures {
		count[f.Cause]++
		if len(f.Identity) > 4*maxClaim+len("…") || strings.ContainsFunc(f.Identity+f.Addr,
			func(r rune) bool { return r < ' ' || r > '~' && r != '…' }) {
			t.Fatalf("got the identity %q from %q, want it short and printable", f.Identity, f.Addr)
		}
	}
	want := map[doctor.Cause]int{doctor.CauseUnknownIdentity: keepFailures,
		doctor.CauseAbandoned: keepFailures, doctor.CauseMalformed: keepFailures,
		doctor.CauseWrongKey: 1, doctor.CauseNoCommonSuite: 1, doctor.CauseFull: 1}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", count, want)
	}
	newest := fmt.Sprint("x", n-1)
	if !slices.ContainsFunc(d.Failures, func(f doctor.Failure) bool {
		return strings.HasPrefix(f.Identity,
			newest)
	}) {
		t.Errorf("the newest failure, %s, is missing", newest)
	}
	if len(d.Findings) > 30 {
		t.Errorf("got %d findings, want at most 30", len(d.Findings))
	}
	for _, f := range d.Findings {
		if strings.ContainsFunc(f.Text+f.Do, func(r rune) bool { return r < ' ' || r > '~' && r != '…' }) {
			t.Errorf("got %q, want only printable characters", f.Text)
		}
	}
	for _, path := range []string{"/v1/doctor?device=" + strings.Repeat("a", 60_000),
		"/v1/doctor?device=%1b%5b31m", "/v1/doctor?device=a&device=b", "/v1/doctor?x=y"} {
		if text := w.getText(path); len(text) > 2048 || !strings.Contains(text, `"status":4`) ||
			strings.ContainsRune(text, '\x1b') {
			t.Errorf("%.40s: got %.200s, want a short problem of 4xx", path, text)
		}
	}
}

// fullPause is how long package nodes records no further event after a refusal for too many
// sessions.
const fullPause = time.Minute

func TestTooManySessionsMakeOneEventAMinute(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	now := time.Now()
	for _, after := range []time.Duration{0, time.Second, fullPause - 1, fullPause, 2*fullPause - 1} {
		w.noteFailure(transport.CauseFull, string(w.good.ID), now.Add(after))
	}
	w.noteFailure(transport.CauseFull, "nobody", now.Add(2*fullPause))
	w.bg.Wait()
	evs, err := w.store.Events(context.Background(), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range evs {
		if ev.Kind == audit.EventFull {
			got = append(got, ev.Device.Name+": "+ev.Detail)
		}
	}
	slices.Sort(got) // their order is not defined
	const refused = ": refused: the limit of live sessions is reached (7)"
	if want := []string{refused, "front-reader" + refused, "front-reader" + refused}; !slices.Equal(got,
		want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An attacker who measures how long the gateway takes to look up an identity learns nothing: an
// unknown and a revoked identity take as long as a valid one.
func TestKeyLookUpTakesTheSameTime(t *testing.T) {
	w := newWard(t)
	ids := [][]byte{[]byte(w.good.ID), []byte(w.old.ID), []byte("lk-zzzzzzzzzz")}
	least := make([]time.Duration, len(ids))
	for range 2000 { // interleaved, and the minimum of each, which leaves out other load of the machine
		for i, id := range ids {
			began := time.Now()
			_ = w.nodes.FindPSK(id)
			if took := time.Since(began); least[i] == 0 || took < least[i] {
				least[i] = took
			}
		}
	}
	if slices.Max(least) > 2*slices.Min(least) {
		t.Errorf("got %v for a valid, a revoked and an unknown key, want about the same", least)
	}
}
