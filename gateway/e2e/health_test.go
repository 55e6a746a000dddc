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

// callAPI calls the admin API in this process.
func (s *site) callAPI(method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	s.gw.AdminHandler().ServeHTTP(w, r)
	return w
}

// waitForFault waits until /healthz reports the fault with this reason, whose text contains text,
// and checks that the doctor and the metrics agree. An empty reason means no fault.
func (s *site) waitForFault(reason, text string) {
	s.t.Helper()
	want := http.StatusOK
	if reason != "" {
		want = http.StatusServiceUnavailable
	}
	var w *httptest.ResponseRecorder
	eventually(s.t, "healthz says "+reason, 30*time.Second, func() bool {
		w = s.callAPI("GET", "/healthz", "")
		return w.Code == want && strings.Contains(w.Body.String(), text)
	})
	for _, code := range []string{"store", "space", "slow"} {
		line := `latchkey_not_ready{reason="` + code + `"} 0`
		if code == reason {
			line = strings.TrimSuffix(line, "0") + "1"
		}
		if got := s.callAPI("GET", "/metrics", "").Body.String(); !strings.Contains(got, line) {
			s.t.Errorf("metrics: want %s", line)
		}
	}
	if got := s.callAPI("GET", "/v1/doctor", "").Body.String(); reason != "" &&
		(!strings.Contains(got, `"code":"`+reason+`"`) || !strings.Contains(got, text)) {
		s.t.Errorf("doctor: got %s, want %s and %q", got, reason, text)
	}
}

func TestFullDiskShutsDoorsAndAcceptsRestrictions(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(1 << 30)
	d := newDoor(t, store.Options{Dir: t.TempDir(), Hold: true,
		Free: func() (uint64, error) { return free.Load(), nil }})
	d.connectNodes(d.addr, d.addr)
	d.tapUntilGranted("with space", time.Now())
	d.waitForFault("", "")
	free.Store(0)
	if v, err := d.scan(annsCard); err == nil {
		t.Errorf("got %+v, want no decision", v)
	}
	if d.lock.Moves() != 1 {
		t.Errorf("the lock moved %d times, want once", d.lock.Moves())
	}
	d.waitForFault("space", "no door opens")
	w := d.callAPI("PUT", "/v1/lockdown", `{"on":true}`)
	if w.Code != http.StatusOK || w.Header().Get("Latchkey-Notice") != "" {
		t.Errorf("lockdown: got %d %v %s, want it kept", w.Code, w.Header(), w.Body)
	}
	if w := d.callAPI("PUT", "/v1/lockdown", `{"on":false}`); w.Code != http.StatusInsufficientStorage {
		t.Errorf("end of the lockdown: got %d %s, want 507", w.Code, w.Body)
	}
	if w := d.callAPI("POST", "/v1/devices/front-reader/revoke", ""); w.Code != http.StatusOK {
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
	d.waitForFault("", "")
	if w := d.callAPI("PUT", "/v1/lockdown", `{"on":false}`); w.Code != http.StatusOK {
		t.Errorf("got %d %s, want the lockdown to end", w.Code, w.Body)
	}
}

// If the free space is unknown, not even restrictions can be stored. They take effect all the same,
// and the answer says that they are not durable.
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
	w := d.callAPI("PUT", "/v1/lockdown", `{"on":true}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Latchkey-Notice"), "NOT durable") ||
		!strings.Contains(w.Body.String(), `"lockdown":true`) {
		t.Errorf("got %d %v %s, want it in force and a notice that it is not durable", w.Code, w.Header(),
			w.Body)
	}
	d.waitForFault("space", "1 restriction acts in memory and is NOT durable")
	broken.Store(false)
	d.waitForFault("", "")
	evs, err := d.store.Newest(context.Background(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range evs {
		if ev.Kind == audit.EventPolicy && strings.Contains(ev.Detail, "lockdown") {
			return
		}
	}
	t.Errorf("got %+v, want an event of the lockdown", evs)
}

func TestSlowDiskIsNotHealthy(t *testing.T) {
	t.Parallel()
	var delay atomic.Int64
	// The sleep stands for the disk's sync.
	d := newDoor(t, store.Options{BeforeCommit: func() { time.Sleep(time.Duration(delay.Load())) }})
	d.connectNodes(d.addr, d.addr)
	d.tapUntilGranted("on a quick disk", time.Now())
	d.waitForFault("", "")
	delay.Store(int64(1600 * time.Millisecond))
	if v, err := d.scan(annsCard); err == nil && v.Verdict != wire.Retry {
		t.Errorf("got %+v, want retry: the door did not open", v)
	}
	d.waitForFault("slow", "commands come too late")
	if got := d.lock.Moves(); got != 1 {
		t.Errorf("the lock moved %d times, want once: late commands are not sent", got)
	}
	delay.Store(0)
	d.waitForFault("", "")
	d.tapUntilGranted("on a quick disk again", time.Now())
}
