package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
)

// call asks the admin API of the site's gateway.
func (s *site) call(method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	s.gw.AdminHandler().ServeHTTP(w, r)
	return w
}

// sick waits until /healthz, the doctor and the metric agree on the fault, or on "" for none.
func (s *site) sick(reason, text string) {
	s.t.Helper()
	want := http.StatusOK
	if reason != "" {
		want = http.StatusServiceUnavailable
	}
	var w *httptest.ResponseRecorder
	eventually(s.t, "healthz says "+reason, 30*time.Second, func() bool {
		w = s.call("GET", "/healthz", "")
		return w.Code == want && strings.Contains(w.Body.String(), text)
	})
	for _, code := range []string{"store", "space", "slow"} {
		line := `latchkey_not_ready{reason="` + code + `"} 0`
		if code == reason {
			line = strings.TrimSuffix(line, "0") + "1"
		}
		if got := s.call("GET", "/metrics", "").Body.String(); !strings.Contains(got, line) {
			s.t.Errorf("metrics: want %s", line)
		}
	}
	if got := s.call("GET", "/v1/doctor", "").Body.String(); reason != "" && (!strings.Contains(got, `"code":"`+reason+`"`) || !strings.Contains(got, text)) {
		s.t.Errorf("doctor: got %s, want %s and %q", got, reason, text)
	}
}

func TestFullDiskShutsDoorsAndTakesRestrictions(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(1 << 30)
	d := newDoor(t, store.Options{Dir: t.TempDir(), Hold: true,
		Free: func() (uint64, error) { return free.Load(), nil }})
	d.connect(d.addr, d.addr)
	d.granted("with space", time.Now())
	d.sick("", "")
	free.Store(0)
	if v, err := d.scan(annsCard); err == nil {
		t.Errorf("got %+v, want no decision", v)
	}
	if d.lock.Moves() != 1 {
		t.Errorf("the lock moved %d times, want once", d.lock.Moves())
	}
	d.sick("space", "no door opens")
	w := d.call("PUT", "/v1/lockdown", `{"on":true}`)
	if w.Code != http.StatusOK || w.Header().Get("Latchkey-Notice") != "" {
		t.Errorf("lockdown: got %d %v %s, want it kept", w.Code, w.Header(), w.Body)
	}
	if w := d.call("PUT", "/v1/lockdown", `{"on":false}`); w.Code != http.StatusInsufficientStorage {
		t.Errorf("end of the lockdown: got %d %s, want 507", w.Code, w.Body)
	}
	if w := d.call("POST", "/v1/devices/front-reader/revoke", ""); w.Code != http.StatusOK {
		t.Errorf("revoke: got %d %s", w.Code, w.Body)
	}
	eventually(t, "the reader's session ends", 10*time.Second, func() bool {
		for _, v := range d.gw.Views() {
			if v.Device == d.readerID && v.Online {
				return false
			}
		}
		return true
	})
	free.Store(1 << 30)
	d.sick("", "")
	if w := d.call("PUT", "/v1/lockdown", `{"on":false}`); w.Code != http.StatusOK {
		t.Errorf("got %d %s, want the lockdown to end", w.Code, w.Body)
	}
}

// The free space is unknown, so not even restrictions can be stored. They take effect, and the
// answer says that they are not durable.
func TestRestrictionThatIsNotDurableSaysSo(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	d := newDoor(t, store.Options{Dir: t.TempDir(), Hold: true, Free: func() (uint64, error) {
		if broken.Load() {
			return 0, errors.New("i/o error")
		}
		return 1 << 30, nil
	}})
	broken.Store(true)
	w := d.call("PUT", "/v1/lockdown", `{"on":true}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Latchkey-Notice"), "NOT durable") || !strings.Contains(w.Body.String(), `"lockdown":true`) {
		t.Errorf("got %d %v %s, want it to act and to say that it is not durable", w.Code, w.Header(), w.Body)
	}
	d.sick("space", "1 restriction acts in memory and is NOT durable")
	broken.Store(false)
	d.sick("", "")
	evs, err := d.store.Newest(context.Background(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range evs {
		if ev.Kind == audit.EventPolicy && strings.Contains(ev.Detail, "lockdown") {
			return
		}
	}
	t.Errorf("got %+v, want the lockdown kept", evs)
}

func TestSlowDiskIsNotHealthy(t *testing.T) {
	t.Parallel()
	var delay atomic.Int64
	d := newDoor(t, store.Options{BeforeCommit: func() { time.Sleep(time.Duration(delay.Load())) }}) // what a sync of the disk takes
	d.connect(d.addr, d.addr)
	d.granted("on a quick disk", time.Now())
	d.sick("", "")
	delay.Store(int64(1600 * time.Millisecond))
	if v, err := d.scan(annsCard); err == nil && v.Verdict != wire.Retry {
		t.Errorf("got %+v, want that the door did not act", v)
	}
	d.sick("slow", "commands come too late")
	if got := d.lock.Moves(); got != 1 {
		t.Errorf("the lock moved %d times, want once: late commands are not sent", got)
	}
	delay.Store(0)
	d.sick("", "")
	d.granted("on a quick disk again", time.Now())
}
