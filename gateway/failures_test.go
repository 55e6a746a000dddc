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

// ward is a gateway that does not run, with a door, its reader with a good key and a revoked one,
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

func (w *ward) fails(cause transport.Cause, identity string, now time.Time) {
	w.nodes.NoteFailure(transport.Failure{Addr: somewhere, Identity: identity, Cause: cause}, now)
}

func (w *ward) get(path string) (text string) {
	r := httptest.NewRecorder()
	w.AdminHandler().ServeHTTP(r, httptest.NewRequest("GET", path, nil))
	return r.Body.String()
}

// diagnose asks the admin API, about one device if it is not empty.
func (w *ward) diagnose(device string) (d api.Diagnosis) {
	w.t.Helper()
	text := w.get("/v1/doctor?device=" + device)
	if err := json.Unmarshal([]byte(text), &d); err != nil || d.Since.IsZero() {
		w.t.Fatalf("got %s, %v, want a diagnosis", text, err)
	}
	return d
}

func codes(d api.Diagnosis) (out []string) {
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
		all, one string   // findings with and without --device front-reader
		says     []string // of the finding about it
	}{
		{"nothing at all", "", nil, "", "no-traffic front-reader", "no-traffic front-reader",
			[]string{"lk-0123456789", "never been connected"}},
		{"a wrong key", transport.CauseKey, func(w *ward) string { return string(w.good.ID) },
			doctor.CauseWrongKey,
			"wrong-key front-reader", "wrong-key front-reader", []string{"wrong key", "lk-0123456789",
				"192.0.2.7:40000", "latchkey device rekey front-reader"}},
		{"a revoked key of a device that has another", transport.CauseKey,
			func(w *ward) string { return string(w.old.ID) }, doctor.CauseRevoked,
			"revoked front-reader", "revoked front-reader", []string{"revoked", "newer key"}},
		{"a revoked key of a device that has no other", transport.CauseKey,
			func(w *ward) string { return string(w.lamp.ID) }, doctor.CauseRevoked,
			"revoked desk-lamp, no-traffic front-reader", "no-traffic front-reader",
			[]string{"if it is to come back: latchkey device rekey desk-lamp"}},
		{"an identity that nobody has", transport.CauseKey, func(*ward) string { return "garage" },
			doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity", []string{`the identity "garage", which no device has`}},
		{"an identity that is nearly one", transport.CauseKey, func(*ward) string { return "LK-0123456798" },
			doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{`"LK-0123456798"`, "nearly lk-0123456789 of front-reader", "correct the identity in front-reader"}},
		{"a name for an identity", transport.CauseKey, func(*ward) string { return "front-reader" },
			doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{"put lk-0123456789 into front-reader"}},
		{"a secret for an identity", transport.CauseKey, func(*ward) string { return secret.Reveal() },
			doctor.CauseUnknownIdentity,
			"no-traffic front-reader, unknown-identity", "no-traffic front-reader, unknown-identity",
			[]string{"swapped", "in the clear"}},
		{"no common suite", transport.CauseSuite, func(*ward) string { return "" }, doctor.CauseNoCommonSuite,
			"no-traffic front-reader, no-common-suite", "no-traffic front-reader, no-common-suite",
			[]string{"192.0.2.7:40000", "PSK_WITH_AES_128_CCM_8"}},
		{"a hello in pieces", transport.CauseMalformed, func(*ward) string { return "" },
			doctor.CauseMalformed,
			"no-traffic front-reader, malformed", "no-traffic front-reader, malformed",
			[]string{"in one piece"}},
		{"no room", transport.CauseFull, func(w *ward) string { return string(w.good.ID) }, doctor.CauseFull,
			"full front-reader", "full front-reader", []string{"limit of live sessions is reached (7)",
				"--max-sessions"}},
		{"too many at once", transport.CauseBusy, func(*ward) string { return "" }, doctor.CauseBusy,
			"busy, no-traffic front-reader", "no-traffic front-reader, busy",
			[]string{"too many began at once"}},
		{"a peer that went away", transport.CauseAbandoned, func(*ward) string { return "" },
			doctor.CauseAbandoned,
			"no-traffic front-reader", "no-traffic front-reader", nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := newWard(t)
			if tc.identity != nil {
				w.fails(tc.cause, tc.identity(w), time.Now())
			}
			all, one := w.diagnose(""), w.diagnose("front-reader")
			if got := strings.Join(codes(all), ", "); got != tc.all {
				t.Errorf("got %s, want %s", got, tc.all)
			}
			if got := strings.Join(codes(one), ", "); got != tc.one {
				t.Errorf("of the reader: got %s, want %s", got, tc.one)
			}
			text := fmt.Sprint(all)
			for _, want := range tc.says {
				if !strings.Contains(text, want) {
					t.Errorf("got %s, want %q in it", text, want)
				}
			}
			if strings.Contains(fmt.Sprint(one), "NAME") {
				t.Errorf("got %v, want the name of the device that was asked about", one)
			}
			if strings.Contains(text, secret.Reveal()) {
				t.Error("the secret is shown")
			}
			metrics := w.get("/metrics")
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
				t.Error("the metrics do not say that a first hello leaves nothing behind")
			}
			if !strings.Contains(metrics, "latchkey_sessions_max 7\n") || all.Limit != 7 {
				t.Error("got another limit of sessions, want 7")
			}
		})
	}
}

// A failure counts until the device has come in, or for an hour when nobody can tell whose it was.
func TestFailuresThatAreOver(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	now := time.Now()
	w.fails(transport.CauseKey, "lk-0123456799", now.Add(-time.Minute))
	w.fails(transport.CauseKey, string(w.good.ID), now.Add(-50*time.Hour))
	w.fails(transport.CauseKey, "garage", now.Add(-time.Hour-time.Second))
	w.fails(transport.CauseKey, string(w.lamp.ID), now.Add(-time.Hour-time.Second))
	if got := strings.Join(codes(w.diagnose("")), ", "); got != "wrong-key front-reader, unknown-identity" {
		t.Errorf("got %s, want the slip of a minute ago and the reader's own, however long ago", got)
	}
	if d := w.diagnose("desk-lamp"); len(d.Findings) != 1 || !strings.Contains(d.Findings[0].Text,
		string(w.lamp.ID)) {
		t.Errorf("of a revoked lamp that is asked for: got %+v, want when it came", d.Findings)
	}
	w.nodes.Handshakes.NoteCompleted(w.good.ID, now)
	d := w.diagnose("")
	if got := strings.Join(codes(d), ", "); got != "no-traffic front-reader" || len(d.Failures) != 4 {
		t.Errorf("after a handshake: got %s and %d failures, want that all of it is over, and still to be seen", got, len(d.Failures))
	}
	if got := w.diagnose("front-reader").Device.Keys[0].LastSeen; !got.Equal(now) {
		t.Errorf("got a handshake at %v, want %v", got, now)
	}
	w.fails(transport.CauseKey, string(w.good.ID), now.Add(time.Millisecond))
	w.fails(transport.CauseKey, string(w.good.ID), now.Add(2*time.Millisecond))
	d = w.diagnose("front-reader")
	if got := strings.Join(codes(d), ", "); got != "wrong-key front-reader" {
		t.Errorf("after one more failure: got %s, want wrong-key", got)
	}
	if f := d.Failures[0]; len(d.Failures) != 1 || f.Count != 3 || f.Identity != string(w.good.ID) ||
		f.Device.Name != "front-reader" ||
		!f.First.Equal(now.Add(-50*time.Hour)) || !f.Last.Equal(now.Add(2*time.Millisecond)) {
		t.Errorf("got %+v, want three of one kind", d.Failures)
	}
	w.nodes.Handshakes.ForgetRemoved(access.New())
	if h := w.nodes.Handshakes.Snapshot(); len(h.Completed) != 0 {
		t.Errorf("got %v for keys that are gone, want nothing", h.Completed)
	}
}

// Bounds of what package doctor remembers.
const (
	keepFailures = 256 // of each kind of peer
	maxClaim     = 64  // bytes of a claimed identity
)

// Whoever makes up identities and addresses fills bounded memory, pushes out only what others made
// up, and writes nothing to a terminal.
func TestHostileFailures(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	now := time.Now()
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
	}
	w.fails(transport.CauseKey, string(w.good.ID), now)
	w.fails(transport.CauseSuite, "", now)
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
	w.nodes.NoteFailure(transport.Failure{Cause: transport.CauseFull}, now) // no address either
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
		t.Errorf("the newest, %s, is not there", newest)
	}
	if len(d.Findings) > 30 {
		t.Errorf("got %d findings, want few of strangers", len(d.Findings))
	}
	for _, f := range d.Findings {
		if strings.ContainsFunc(f.Text+f.Do, func(r rune) bool { return r < ' ' || r > '~' && r != '…' }) {
			t.Errorf("got %q, want what can be printed", f.Text)
		}
	}
	for _, path := range []string{"/v1/doctor?device=" + strings.Repeat("a", 60_000),
		"/v1/doctor?device=%1b%5b31m", "/v1/doctor?device=a&device=b", "/v1/doctor?x=y"} {
		if text := w.get(path); len(text) > 2048 || !strings.Contains(text, `"status":4`) || strings.ContainsRune(text, '\x1b') {
			t.Errorf("%.40s: got %.200s, want a short problem of 4xx", path, text)
		}
	}
}

// fullPause is how long package nodes says nothing more of it.
const fullPause = time.Minute

func TestFullMakesOneEventAMinute(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	now := time.Now()
	for _, after := range []time.Duration{0, time.Second, fullPause - 1, fullPause, 2*fullPause - 1} {
		w.fails(transport.CauseFull, string(w.good.ID), now.Add(after))
	}
	w.fails(transport.CauseFull, "nobody", now.Add(2*fullPause))
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
	slices.Sort(got) // each is written by itself
	const refused = ": refused: the limit of live sessions is reached (7)"
	if want := []string{refused, "front-reader" + refused, "front-reader" + refused}; !slices.Equal(got,
		want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whoever measures how long the gateway thinks of an identity learns nothing: an unknown and a
// revoked one take as long as one that is there.
func TestKeyIsFoundInOneTime(t *testing.T) {
	w := newWard(t)
	ids := [][]byte{[]byte(w.good.ID), []byte(w.old.ID), []byte("lk-zzzzzzzzzz")}
	least := make([]time.Duration, len(ids))
	for range 2000 { // interleaved, and the least of each: what else the machine does is not in it
		for i, id := range ids {
			began := time.Now()
			_ = w.nodes.FindPSK(id)
			if took := time.Since(began); least[i] == 0 || took < least[i] {
				least[i] = took
			}
		}
	}
	if slices.Max(least) > 2*slices.Min(least) {
		t.Errorf("got %v for a key that is there, a revoked and an unknown one, want about the same", least)
	}
}
