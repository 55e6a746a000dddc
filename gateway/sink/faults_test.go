package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/audit"
)

// faulty answers with faults: an error now and then, and cuts before and after it has taken events.
func faulty(r *rand.Rand) func(*http.Request, []taken) int {
	var mu sync.Mutex
	return func(*http.Request, []taken) int {
		mu.Lock()
		defer mu.Unlock()
		switch r.IntN(10) {
		case 0:
			return http.StatusInternalServerError
		case 1:
			panic(http.ErrAbortHandler) // not taken
		case 2:
			return 0 // taken
		}
		return http.StatusNoContent
	}
}

// restart ends the receiver's listener and all connections, and listens again at the same address,
// without and with a certificate that does not fit in between.
func (c *receiver) restart(t *testing.T) {
	t.Helper()
	addr, conf := c.Listener.Addr().String(), c.TLS
	handler := c.Config.Handler
	c.CloseClientConnections()
	c.Close()
	ln := listenAgain(t, addr)
	c.Server = &httptest.Server{Listener: ln,
		Config: &http.Server{Handler: handler, ErrorLog: c.Config.ErrorLog},
		TLS:    &tls.Config{Certificates: conf.Certificates}}
	c.StartTLS()
}

// listenAgain listens at an address that was in use a moment ago.
func listenAgain(t *testing.T, addr string) (ln net.Listener) {
	t.Helper()
	var err error
	wait(t, func() string { return fmt.Sprintf("%s is free: %v", addr, err) }, func() bool {
		ln, err = net.Listen("tcp", addr)
		return err == nil
	})
	return ln
}

// deliver sends n events through restarts of the gateway and of the server, cuts and errors, and
// checks that none is lost and the order stays.
func deliver(t *testing.T, n, restarts int) {
	s, c := newSite(t), startReceiver(t)
	t.Cleanup(func() { c.Close() })
	c.answers(faulty(rand.New(rand.NewPCG(1, 2))))
	s.put(c.sink("home"))
	s.run()
	begun := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 10 {
			s.note(audit.EventStart, n/10)
		}
	})
	for i := range restarts {
		want := n * (i + 1) / (restarts + 1)
		wait(t, func() string { return fmt.Sprintf("%d events are sent, got %d", want, len(c.all())) },
			func() bool { return len(c.all()) >= want })
		if i%2 == 0 {
			s.restart()
		} else {
			c.restart(t)
		}
	}
	wg.Wait()
	wait(t, func() string { return "the last event" }, func() bool {
		all := c.all()
		return all[len(all)-1].ID == s.id(s.head())
	})
	c.answers(nil)
	s.caughtUp()
	t.Logf("%d events in %v", s.head(), time.Since(begun))
	once := checkComplete(t, c.all(), 1, s.head(), n)
	s.stop()

	var lines bytes.Buffer
	for _, ev := range once {
		lines.WriteString(ev.body + "\n")
	}
	judge := filepath.Join(t.TempDir(), "sdk")
	if out, err := exec.Command("go", "build", "-C", filepath.Join("..", "cloudevent", "peers", "sdk"), "-o",
		judge, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(lines.String(), `"e580"`) {
		t.Error("digits of a card were sent")
	}
	cmd := exec.Command(judge)
	cmd.Stdin = &lines
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("%d valid, %d linked\n", len(once), len(once)-1); err != nil ||
		string(out) != want {
		t.Errorf("the SDK: got %s, %v, want %s", out, err, want)
	}
}

func TestNothingIsLost(t *testing.T) { deliver(t, 4000, 6) }

// A server that hangs holds nothing but its own sink: events are recorded, another sink gets them,
// and memory does not grow with those that wait.
func TestServerThatHangs(t *testing.T) {
	s, c, hangs := newSite(t), startReceiver(t), startReceiver(t)
	release := make(chan struct{})
	asked := make(chan struct{}, 1)
	hangs.answers(func(r *http.Request, _ []taken) int {
		select {
		case asked <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return http.StatusServiceUnavailable
	})
	s.times.send = time.Hour
	s.put(hangs.sink("hangs"))
	s.run()
	s.note(audit.EventStart, 500)
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("nothing was sent")
	}
	before := heap()
	const n = 5000
	s.note(audit.EventStart, n)
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d KB while %d events wait", grown>>10, n)
	}
	st := s.status("it is far behind", func(st Status) bool { return st.Lag >= n })
	if st.State != Sending && st.State != Failing {
		t.Errorf("got %+v", st)
	}
	s.put(c.sink("other"))
	wait(t, func() string { return "the other sink has all" }, func() bool {
		all := c.all()
		return len(all) > 0 && all[len(all)-1].ID == s.id(s.head())
	})
	checkComplete(t, c.all(), 1, s.head(), 0)
	begun := time.Now()
	s.stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v to stop while a server hangs", took)
	}
	close(release)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A certificate that does not fit pauses the sink, and when the right one is back and somebody
// resumes it, nothing is lost.
func TestWrongCertificate(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	r := c.sink("home")
	s.put(r)
	s.run()
	s.note(audit.EventStart, 5)
	s.caughtUp()
	addr, handler := c.Listener.Addr().String(), c.Config.Handler
	c.Close()
	wrong := &httptest.Server{Listener: listenAgain(t, addr), Config: &http.Server{Handler: handler,
		ErrorLog: c.Config.ErrorLog}, TLS: &tls.Config{Certificates: []tls.Certificate{ownCertificate(t)}}}
	wrong.StartTLS()
	n := len(c.all())
	s.note(audit.EventStart, 5)
	st := s.status("paused", func(st Status) bool { return st.State == Paused })
	if !strings.Contains(st.Why, "certificate") || len(c.all()) != n {
		t.Errorf("got %+v and %d events, want %d", st, len(c.all()), n)
	}
	wrong.Close()
	c.Server = &httptest.Server{Listener: listenAgain(t, addr),
		Config: &http.Server{Handler: handler}, TLS: c.TLS}
	c.StartTLS()
	t.Cleanup(func() { c.Close() })
	s.put(r)
	s.caughtUp()
	checkComplete(t, c.all(), 1, s.head(), 0)
}

// The cursor is stored at most once in a while, however fast events come, and soon after the last.
func TestCursorIsStoredSeldom(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.times.store = time.Hour
	r := c.sink("home")
	s.put(r)
	s.run()
	for range 5 {
		s.note(audit.EventStart, 300)
		s.caughtUp()
	}
	if moves := s.store.moves.Load(); moves > 1 {
		t.Errorf("got %d writes in an hour", moves)
	}
	s.stop()
	if cursor, _, _ := s.store.SinkCursor(context.Background(), r.ID); cursor.Seq != s.head() {
		t.Errorf("got %d, want it stored at the end: %d", cursor.Seq, s.head())
	}
}
