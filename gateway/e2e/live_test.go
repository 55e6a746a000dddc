package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

func TestRevokedKeyLosesItsSessionAtOnce(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	began := time.Now()
	d.revokeKey(d.readerKey)
	eventually(t, "the session is closed within a second", time.Second-time.Since(began),
		func() bool { return !d.isOnline(d.readerID) })
	sessions := d.reader.Sessions()
	if v, err := d.scan(annsCard); err == nil {
		t.Errorf("after the revocation: got %+v, want no verdict", v)
	}
	if got := d.reader.Sessions(); got != sessions {
		t.Errorf("the revoked reader registered again")
	}
	if got := d.lock.Moves(); got != 0 {
		t.Errorf("the lock moved %d times", got)
	}
}

// isOnline tells whether the gateway shows a device as online.
func (s *site) isOnline(id access.ID) bool {
	for _, v := range s.gw.Views() {
		if v.Device == id {
			return v.Online
		}
	}
	return false
}

func TestNewestSessionWins(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	c := d.dialReader(d.addr)
	eventually(t, "the older session has ended", 5*time.Second, func() bool {
		for _, ev := range d.listEvents() {
			if ev.Kind == audit.EventSession && ev.Device.Name == "front-reader" &&
				ev.Detail == "replaced by a newer session" {
				return true
			}
		}
		return false
	})
	_ = c
}

func TestLostLockIsNotLocked(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	v, err := d.scan(annsCard)
	if err != nil || v.Verdict != wire.Retry {
		t.Fatalf("without a lock: got %+v, %v, want retry", v, err)
	}
	if tl := d.listTimelines()[0]; tl.Outcome != audit.OutcomeOffline || !tl.Commanded.IsZero() {
		t.Errorf("got %+v, want offline and nothing sent", tl)
	}
	d.endNode(d.readerKey)
	again, err := d.dialReader(d.addr).repeatScan(t, v.Last)
	if err != nil || again.Verdict != wire.Retry {
		t.Errorf("the same scan again: got %+v, %v, want retry", again, err)
	}
}

// repeatScan sends a scan of ann's card with the counter n.
func (c *rawClient) repeatScan(t *testing.T, n uint64) (wire.Verdict, error) {
	t.Helper()
	code, v := c.scan(n, annsCard, c.fetchEcho(), 0)
	if code != codes.Changed {
		return v, &device.CodeError{Code: code}
	}
	return v, nil
}

func TestSwitchAndLamp(t *testing.T) {
	t.Parallel()
	s := newSite(t, store.Options{})
	desk := s.addTarget("desk", access.Lamp, 0)
	other := s.addTarget("other", access.Lamp, 0)
	switchID, switchKey := s.enrolDevice("hall-switch", keys.KindSwitch, desk)
	_, lampKey := s.enrolDevice("desk-lamp", keys.KindLamp, desk)
	sw := s.runNode("hall-switch", keys.KindSwitch, switchKey, s.addr)
	lamp := s.runNode("desk-lamp", keys.KindLamp, lampKey, s.addr)
	ask := func(target string, a wire.Action, level uint8) (wire.Verdict, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return sw.Ask(ctx, target, a, level)
	}
	if v, err := ask("desk", wire.On, 0); err != nil || v.Verdict != wire.Denied {
		t.Fatalf("without a grant: got %+v, %v, want denied", v, err)
	}
	s.applyRecords(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: switchID,
		Target: desk, Effect: access.Allow, Created: time.Now()})
	for _, step := range []struct {
		action wire.Action
		level  uint8
		on     bool
		want   uint8
	}{{wire.Toggle, 0, true, 100}, {wire.Level, 30, true, 30}, {wire.Toggle, 0, false, 0},
		{wire.On, 0, true, 100}, {wire.Off, 0, false, 0}} {
		if v, err := ask("desk", step.action, step.level); err != nil || v.Verdict != wire.Granted {
			t.Fatalf("%s: got %+v, %v, want granted", step.action, v, err)
		}
		if st := lamp.State(); st.On != step.on || st.Level != step.want {
			t.Errorf("%s %d: got lamp %+v, want on %v at %d", step.action, step.level, st, step.on, step.want)
		}
	}
	var code *device.CodeError
	if _, err := ask("other", wire.On, 0); !errors.As(err, &code) || code.Code != codes.NotFound {
		t.Errorf("a target that the switch may not operate: got %v, want 4.04", err)
	}
	_ = other
	if v, err := ask("desk", wire.Unlock, 0); err != nil || v.Verdict != wire.Denied {
		t.Errorf("unlocking a lamp: got %+v, %v, want denied", v, err)
	}
}

func TestManyUnknownCardsSlowTheReader(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	for i := range 10 {
		if v, err := d.scan([]byte{1, 1, 1, byte(i)}); err != nil || v.Verdict != wire.Denied {
			t.Fatalf("unknown card %d: got %+v, %v, want denied", i, v, err)
		}
	}
	var code *device.CodeError
	if _, err := d.scan([]byte{1, 1, 1, 99}); !errors.As(err, &code) || code.Code != codes.TooManyRequests {
		t.Errorf("the eleventh: got %v, want 4.29", err)
	}
	eventually(t, "an event of the throttling", 5*time.Second, func() bool {
		evs := d.listEvents()
		return evs[len(evs)-1].Kind == audit.EventThrottle
	})
}

func TestClockThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var ahead atomic.Int64 // by how much the store's clock is ahead when it stamps events
	ahead.Store(int64(48 * time.Hour))
	d := newDoor(t, store.Options{
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	hours := access.Schedule{ID: access.NewID(), Name: "daily", Text: "daily 00:00-24:00", Created: now}
	bob := access.Person{ID: access.NewID(), Name: "bob", Created: now}
	bobsCard := []byte{0xb0, 0xb0, 0xb0, 0xb0}
	d.applyRecords(hours, bob,
		access.Credential{ID: d.store.CredentialID(bobsCard), Person: bob.ID, Tail: "b0b0",
			Status: access.CardActive, Created: now},
		access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson, Subject: bob.ID, Target: d.id,
			Schedule: hours.ID, Effect: access.Allow, Created: now})
	d.connectNodes(d.addr, d.addr)
	if v, err := d.scan(bobsCard); err != nil || v.Verdict != wire.Denied {
		t.Fatalf("a clock behind the last event: got %+v, %v, want denied", v, err)
	}
	if got := d.listTimelines()[0].Decision.Reason; got != access.ReasonClockUntrusted {
		t.Errorf("got %s, want clock-untrusted", got)
	}
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Errorf("a grant without a schedule: got %+v, %v, want granted", v, err)
	}
	eventually(t, "the outcome is kept", 5*time.Second, func() bool {
		evs := d.listEvents()
		return evs[len(evs)-1].Kind == audit.EventReceipt
	})
	site := d.store.Snapshot().Site
	site.TimeTrusted, _ = d.store.Head()
	ahead.Store(0)
	d.applyRecords(site)
	if v, err := d.scan(bobsCard); err != nil || v.Verdict != wire.Granted {
		t.Errorf("after time trust: got %+v, %v, want granted", v, err)
	}
}

// postToSocket calls the admin API through its socket.
func (s *site) postToSocket(path string, in, out any) int {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socketPath())
		}}}
	resp, err := client.Post("http://latchkey"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode
}

func (s *site) socketPath() string { return filepath.Join(s.dir, "admin.sock") }

func TestOperatorAndLockdown(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	if info, err := os.Stat(d.socketPath()); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got socket %v, %v, want mode 0600", info, err)
	}
	var got struct {
		Granted bool
		Reason  string
		Outcome string
	}
	if status := d.postToSocket("/v1/operate", map[string]any{"target": "front-door", "action": "unlock"},
		&got); status != http.StatusOK || got.Outcome != "done" {
		t.Fatalf("unlock: got %d %+v, want done", status, got)
	}
	if !d.lock.State().On {
		t.Error("the door is not unlocked")
	}
	site := d.store.Snapshot().Site
	site.Lockdown = true
	d.applyRecords(site)
	eventually(t, "a lockdown ends the pulse", 900*time.Millisecond,
		func() bool { return !d.lock.State().On })
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Denied {
		t.Errorf("in a lockdown: got %+v, %v, want denied", v, err)
	}
	d.postToSocket("/v1/operate", map[string]any{"target": "front-door", "action": "unlock"}, &got)
	if got.Granted || got.Reason != string(access.ReasonLockdown) {
		t.Errorf("an operator in a lockdown: got %+v, want lockdown", got)
	}
	site.Lockdown = false
	d.applyRecords(site)
	d.tapUntilOpen(t)
}

func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	st, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	for name, cfg := range map[string]gateway.Config{
		"no store":                   {},
		"an address that is not one": {Store: st, Listen: "front door"},
		"a socket in a folder not there": {Store: st, Listen: "127.0.0.1:0",
			AdminSocket: filepath.Join(t.TempDir(), "nowhere", "admin.sock")},
	} {
		if g, err := gateway.New(cfg); err == nil {
			_ = g.Close()
			t.Errorf("%s: got a gateway, want an error", name)
		}
	}
}

// After a failed commit nothing is decided any more: no lock moves, the reader gets an error, and
// the gateway ends, because it must not decide without a record.
func TestFailedCommitKeepsEveryDoorShut(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	d := newDoor(t, store.Options{Fault: func() error {
		if broken.Load() {
			return errors.New("input/output error")
		}
		return nil
	}})
	d.connectNodes(d.addr, d.addr)
	d.mayFail = true
	broken.Store(true)
	for range 2 {
		var code *device.CodeError
		if v, err := d.scan(annsCard); !errors.As(err, &code) || code.Code != codes.ServiceUnavailable {
			t.Errorf("got %+v, %v, want 5.03", v, err)
		}
	}
	broken.Store(false) // too late: memory and disk may differ
	if v, err := d.scan(annsCard); err == nil {
		t.Errorf("after the fault: got %+v, want no verdict", v)
	}
	if got := d.lock.Moves(); got != 0 {
		t.Errorf("the lock moved %d times", got)
	}
	d.wait()
	if !errors.Is(d.runError, store.ErrFailed) {
		t.Errorf("the gateway ended with %v, want the failed commit", d.runError)
	}
}

// A client of the stream of devices also gets the changes that make no event: sessions, states and
// readings.
func TestStreamReportsDevices(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	server := httptest.NewServer(d.gw.AdminHandler())
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/events/stream?devices=true",
		nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	wantDevices := func(of ...access.ID) {
		t.Helper()
		for len(of) > 0 && lines.Scan() {
			var line struct{ Devices []access.ID }
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("got %q: %v", lines.Text(), err)
			}
			of = slices.DeleteFunc(of, func(id access.ID) bool { return slices.Contains(line.Devices, id) })
		}
		if len(of) > 0 {
			t.Fatalf("the stream ended and did not name %v: %v", of, lines.Err())
		}
	}
	d.connectNodes(d.addr, d.addr)
	wantDevices(d.lockID, d.readerID)
	r := wire.Report{Measurements: []wire.Measurement{{Name: "volts", Unit: "V", Type: wire.NumberValue,
		Number: 3.1}}}
	if err := d.reader.Report(ctx, r); err != nil {
		t.Fatal(err)
	}
	wantDevices(d.readerID)
}
