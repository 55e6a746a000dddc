package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	headline "latchkey/gateway/door"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// askAPI calls the admin API in this process as the local user actor, and returns the status.
func (s *site) askAPI(actor, method, path string, in, out any) int {
	s.t.Helper()
	var body strings.Builder
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			s.t.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(account.WithPrincipal(s.t.Context(), account.NewUnixPeer(actor)),
		method, path, strings.NewReader(body.String()))
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.gw.AdminHandler().ServeHTTP(w, r)
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			s.t.Fatalf("%s %s: %d %s: %v", method, path, w.Code, w.Body, err)
		}
	}
	return w.Code
}

// doorState returns the door's state from the admin API.
func (d *door) doorState() api.DoorState {
	d.t.Helper()
	var t api.Target
	if code := d.askAPI("test", "GET", "/v1/targets/front-door", nil, &t); code != http.StatusOK ||
		t.State == nil {
		d.t.Fatalf("got %d %+v, want the door's state", code, t)
	}
	return *t.State
}

// When a lock stops answering in the middle of its pulse, the API does not show the door as locked
// until the lock has confirmed it.
func TestLockThatStopsInItsPulseIsNotLocked(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRelay(t, d.addr)
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, r.Addr())
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.awaitLockState()
	eventually(t, "the lock has reported that it is locked", 5*time.Second,
		func() bool { return d.doorState().Headline == headline.Locked })
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	_, released := r.Hold(device.Up, 6*time.Second) // longer than the gateway's three tries to read the state
	s := d.doorState()
	if s.Headline != headline.Unlocked || time.Until(s.Until) > time.Second {
		t.Fatalf("got %+v, want unlocked for a second", s)
	}
	seen := map[headline.Headline]bool{}
	for held := true; held; {
		select {
		case <-released:
			held = false
		case <-time.After(20 * time.Millisecond):
			s := d.doorState()
			select {
			case <-released: // the lock may have answered meanwhile
				continue
			default:
			}
			seen[s.Headline] = true
			var status api.Status
			d.askAPI("test", "GET", "/v1/status", nil, &status)
			for _, l := range status.Devices {
				if l.Device == d.lockID && l.Known && !l.State.On {
					t.Fatalf("got %+v while the gateway does not hear the lock, want it not off", l)
				}
			}
		}
	}
	if seen[headline.Locked] || !seen[headline.Unlocked] || !seen[headline.Unconfirmed] {
		t.Errorf("got %v, want unlocked and then unconfirmed", seen)
	}
	eventually(t, "the gateway hears the lock again, and it is locked", 10*time.Second,
		func() bool { return d.doorState().Headline == headline.Locked })
}

// After a pulse the gateway reads the lock's state by itself, so the door is soon shown as locked.
func TestLockedIsConfirmedAfterThePulse(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	end := d.doorState().Until
	eventually(t, "the lock has confirmed that its pulse is over", 10*time.Second,
		func() bool { return d.doorState().Headline == headline.Locked })
	t.Logf("locked %v after the end of the pulse", time.Since(end).Round(time.Millisecond))
}

// The exit button opens the door without a request to the gateway. The gateway then reads from the
// lock for how long.
func TestExitButtonIsAnUnlockedDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	d.lock.Exit()
	if err := d.lock.Report(t.Context(),
		wire.Report{Measurements: []wire.Measurement{makeFlag("exit", true)}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the door is unlocked", 2*time.Second,
		func() bool { return d.doorState().Headline == headline.Unlocked })
	eventually(t, "the door is locked again", 15*time.Second,
		func() bool { return d.doorState().Headline == headline.Locked })
}

// reportContact sets the door's contact and reports it.
func (d *door) reportContact(open bool) {
	d.t.Helper()
	d.lock.SetContact(map[bool]wire.Contact{true: wire.ContactOpen, false: wire.ContactClosed}[open])
	if err := d.lock.Report(d.t.Context(),
		wire.Report{Measurements: []wire.Measurement{makeFlag("contact", open)}}); err != nil {
		d.t.Fatal(err)
	}
}

// A forced door is an alarm until somebody acknowledges it, also after a restart.
func TestForcedDoorStaysAnAlarmUntilAcknowledged(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	d.reportContact(false)
	d.reportContact(true)
	eventually(t, "the alarm is kept", 5*time.Second,
		func() bool { s := d.doorState(); return len(s.Alarms) == 1 && s.Alarms[0].Seq > 0 })
	if s := d.doorState(); s.Headline != headline.Forced || s.Now != headline.Open {
		t.Errorf("got %+v, want forced and open", s)
	}
	for range 4 { // a contact that bounces
		var bounces []wire.Measurement
		for range 5 {
			bounces = append(bounces, makeFlag("contact", false), makeFlag("contact", true))
		}
		if err := d.lock.Report(t.Context(), wire.Report{Measurements: bounces}); err != nil {
			t.Fatal(err)
		}
	}
	d.reportContact(false)
	eventually(t, "every opening is counted", 5*time.Second,
		func() bool { return d.doorState().Alarms[0].Times == 21 })
	var all struct{ Items []api.Alarm }
	d.askAPI("test", "GET", "/v1/alarms", nil, &all)
	a := d.doorState().Alarms[0]
	if len(all.Items) != 1 || all.Items[0] != a || a.Target.Name != "front-door" ||
		a.Device.Name != "front-lock" {
		t.Fatalf("got %+v, want one at front-door by front-lock", all)
	}
	ev := d.listEvents()[a.Seq-1]
	if ev.Kind != audit.EventAlarm || ev.Target.ID != d.id || ev.Device.ID != d.lockID ||
		ev.Reason != "forced" {
		t.Errorf("got the event %+v, want an alarm of the door", ev)
	}
	var metrics = func() string {
		w := httptest.NewRecorder()
		d.gw.AdminHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	if got := metrics(); !strings.Contains(got, "latchkey_alarms 1\n") ||
		!strings.Contains(got, `latchkey_doors{state="forced"} 1`) {
		t.Errorf("the metrics show no alarm")
	}
	if got, found := d.diagnose(""); found != "front-lock alarm" || !strings.Contains(got.Findings[0].Text,
		"front-door: opened without being unlocked") {
		t.Errorf("got %s: %+v, want the alarm", found, got.Findings)
	}

	d.stop()
	d.start()
	if s := d.doorState(); s.Headline != headline.Forced || len(s.Alarms) != 1 || s.Alarms[0].Seq != a.Seq ||
		!s.Alarms[0].At.Equal(a.At) {
		t.Errorf("after a restart: got %+v, want the same alarm", s)
	}
	path := fmt.Sprintf("/v1/alarms/%d/acknowledge", a.Seq)
	if code := d.askAPI("carol", "POST", path, api.Acknowledgement{Remark: strings.Repeat("x", 201)},
		nil); code != http.StatusUnprocessableEntity {
		t.Errorf("a long remark: got %d, want 422", code)
	}
	if code := d.askAPI("carol", "POST", path, api.Acknowledgement{Remark: "the wind"},
		&a); code != http.StatusOK {
		t.Fatalf("got %d", code)
	}
	if code := d.askAPI("dave", "POST", path, api.Acknowledgement{}, nil); code != http.StatusNotFound {
		t.Errorf("a second time: got %d, want 404", code)
	}
	evs := d.listEvents()
	i := slices.IndexFunc(evs, func(e audit.Event) bool { return e.Kind == audit.EventAcknowledged })
	if i < 0 || evs[i].Actor != "carol" || evs[i].Detail != "the wind" || evs[i].Cause != a.Seq ||
		evs[i].Target.ID != d.id {
		t.Fatalf("got %+v, want who acknowledged it", evs)
	}
	if s := d.doorState(); s.Headline.Alarm() || len(s.Alarms) != 0 {
		t.Errorf("after the acknowledgement: got %+v, want no alarm", s)
	}
	alarms := 0
	for _, ev := range evs {
		if ev.Kind == audit.EventAlarm || ev.Kind == audit.EventReport {
			alarms++
		}
	}
	if alarms != 1 {
		t.Errorf("21 openings made %d events, want one", alarms)
	}
	d.stop()
	d.start()
	if s := d.doorState(); s.Headline.Alarm() {
		t.Errorf("after another restart: got %+v, want no alarm", s)
	}
	// The next forced opening is an alarm of its own, however soon it follows.
	d.awaitLockState()
	d.reportContact(true)
	eventually(t, "the next one is an alarm", 10*time.Second,
		func() bool { s := d.doorState(); return s.Headline == headline.Forced && s.Alarms[0].Seq > a.Seq })
}

// A door is forced while its lock is disconnected. The gateway raises the alarm when it reads the
// lock's state after the reconnect.
func TestDoorForcedWhileItsLockWasCutOff(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	d.reportContact(false)
	d.lock.SetContact(wire.ContactOpen)
	d.lock.Drop()
	eventually(t, "the lock's state shows the forced door", 10*time.Second,
		func() bool { return d.doorState().Headline == headline.Forced })
}

// A door that somebody opens during the pulse is shown as open and raises no alarm. Once it is shut
// and the pulse is over, it is shown as locked.
func TestOpenedDoorIsOpen(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	d.reportContact(false)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	d.reportContact(true)
	if s := d.doorState(); s.Headline != headline.Open {
		t.Errorf("got %+v, want open", s)
	}
	eventually(t, "the pulse is over", 10*time.Second, func() bool { return !d.lock.State().On })
	d.reportContact(false)
	eventually(t, "the door is locked", 10*time.Second,
		func() bool { return d.doorState().Headline == headline.Locked })
	if s := d.doorState(); len(s.Alarms) > 0 {
		t.Errorf("got %+v, want no alarm", s)
	}
}

// A tampered reader raises an alarm at the door it belongs to.
func TestTamperedReaderIsAnAlarmOfItsDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	c := d.dialReader(d.addr)
	c.sendReport(c.fetchEcho(), makeFlag("tamper", true))
	eventually(t, "the door is tampered with", 5*time.Second, func() bool {
		s := d.doorState()
		return s.Headline == headline.Tampered && s.Now == headline.Offline &&
			s.Alarms[0].Device.ID == d.readerID
	})
}

// The gateway reads only a bounded number of the newest events at its start. So while an alarm is
// open it is recorded again now and then, and the start always finds it.
func TestOldAlarmIsFoundAgain(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	d.reportContact(false)
	d.reportContact(true)
	eventually(t, "the alarm is kept", 5*time.Second,
		func() bool { s := d.doorState(); return len(s.Alarms) == 1 && s.Alarms[0].Seq > 0 })
	a := d.doorState().Alarms[0]
	countAlarms := func() (n int) {
		for _, ev := range d.listEvents() {
			if ev.Kind == audit.EventAlarm {
				n++
			}
		}
		return n
	}
	fill := func(upTo uint64) {
		for {
			head, _ := d.store.Head()
			if head >= upTo {
				return
			}
			if _, err := d.store.Record(t.Context(), audit.Event{Kind: audit.EventSession,
				Detail: "filler"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(a.Seq + 1100)
	eventually(t, "the alarm is recorded again", 15*time.Second, func() bool { return countAlarms() == 2 })
	d.stop()
	d.start()
	if s := d.doorState(); len(s.Alarms) != 1 || s.Alarms[0].Seq != a.Seq || !s.Alarms[0].At.Equal(a.At) {
		t.Errorf("got %+v, want the alarm of event %d", s, a.Seq)
	}
	if code := d.askAPI("carol", "POST", fmt.Sprintf("/v1/alarms/%d/acknowledge", a.Seq),
		api.Acknowledgement{}, nil); code != http.StatusOK {
		t.Errorf("got %d", code)
	}
	d.stop()
	d.start()
	if s := d.doorState(); len(s.Alarms) > 0 {
		t.Errorf("got %+v, want none", s)
	}
}

// Scans that an attacker delays leave one event, which says how late the scan was, and one finding
// that counts them.
func TestDelayedScanIsReported(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRelay(t, d.addr)
	d.connectNodes(r.Addr(), d.addr)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	if _, found := d.diagnose("front-reader"); found != "" {
		t.Errorf("before: got %s", found)
	}
	stale := func() (of []audit.Event) {
		for _, ev := range d.listEvents() {
			if ev.Kind == audit.EventStale {
				of = append(of, ev)
			}
		}
		return of
	}
	for range 2 {
		was := d.reader.Sessions()
		_, released := r.Hold(device.Up, 4*time.Second)
		if v, err := d.scan(annsCard); err == nil {
			t.Fatalf("got %+v, want no verdict", v)
		}
		<-released
		eventually(t, "an event reports the scan", 5*time.Second, func() bool { return len(stale()) > 0 })
		// After so long a silence the reader opens a new session. The next scan must use it.
		eventually(t, "the reader has another session", 5*time.Second,
			func() bool { return d.reader.Sessions() > was })
	}
	got := stale()
	if len(got) != 1 || got[0].Device.ID != d.readerID || got[0].Target.ID != d.id || got[0].Counter != 2 ||
		!strings.Contains(got[0].Detail, " ms after the tap") {
		t.Errorf("got %+v, want one event of the second scan", got)
	}
	t.Log(got[0].Line())
	eventually(t, "the finding counts both", 5*time.Second, func() bool {
		diagnosis, found := d.diagnose("front-reader")
		return found == "front-reader late" && strings.Contains(diagnosis.Findings[0].Text,
			"2 scans came too late")
	})
}

// A lock reports the longest pulse that it allows. The gateway refuses to configure a longer one.
// One that was configured before ends when the lock ends it, and the answer says so.
func TestPulseLongerThanTheLockAllows(t *testing.T) {
	t.Parallel()
	d := &door{site: newSite(t, store.Options{})}
	d.id = d.addTarget("front-door", access.Door, 30*time.Second)
	d.lockID, d.lockKey = d.enrolDevice("front-lock", keys.KindLock, d.id)
	d.lock = d.runDevice(device.Config{Name: "front-lock", Kind: keys.KindLock, MaxPulse: 2 * time.Second},
		d.lockKey, d.addr)
	d.awaitLockState()
	var target api.Target
	d.askAPI("test", "GET", "/v1/targets/front-door", nil, &target)
	if target.Pulse != "30s" || target.MaxPulse != "2s" {
		t.Errorf("got %+v, want a pulse of 30s and a lock that allows 2s", target)
	}
	if _, found := d.diagnose(""); found != "front-lock pulse" {
		t.Errorf("got %s, want the finding of a pulse that is too long", found)
	}
	var problem struct{ Detail string }
	if code := d.askAPI("test", "PATCH", "/v1/targets/front-door", api.TargetChange{Pulse: "10s"},
		&problem); code != http.StatusUnprocessableEntity ||
		!strings.Contains(problem.Detail, "the lock front-lock holds 2s at the most") {
		t.Errorf("got %d %s, want 422 and the longest pulse of the lock", code, problem.Detail)
	}
	var got api.Operated
	d.askAPI("test", "POST", "/v1/operate", api.Order{Target: "front-door", Action: "unlock"}, &got)
	if got.Outcome != audit.OutcomeDone || got.Holds < 1000 || got.Holds > 2000 {
		t.Errorf("got %+v, want it done, for 2000 ms", got)
	}
	if s := d.doorState(); s.Headline != headline.Unlocked || time.Until(s.Until) > 2*time.Second {
		t.Errorf("got %+v, want it unlocked for 2 s at the most", s)
	}
	eventually(t, "the pulse is over and confirmed", 15*time.Second,
		func() bool { return d.doorState().Headline == headline.Locked })
	if code := d.askAPI("test", "PATCH", "/v1/targets/front-door", api.TargetChange{Pulse: "2s"},
		nil); code != http.StatusOK {
		t.Errorf("a pulse that the lock allows: got %d, want 200", code)
	}
}
