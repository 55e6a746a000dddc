package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/faultdisk"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// ownGateway serves a site's store from another process, after the site's own gateway has ended.
type ownGateway struct {
	d       *door
	program string
	console string // its website's address; empty: none
	cmd     *exec.Cmd
	log     *syncBuffer
	ended   chan error
	api     http.Client
}

func (a *ownGateway) start() {
	a.d.t.Helper()
	a.log, a.ended = &syncBuffer{}, make(chan error, 1)
	a.cmd = exec.Command(a.program, "--data", a.d.dir, "serve", "--listen", a.d.addr, "--clock", "rtc",
		"--console", cmp.Or(a.console, "off"))
	a.cmd.Stderr, a.cmd.SysProcAttr = a.log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		a.d.t.Fatal(err)
	}
	cmd, ended := a.cmd, a.ended
	go func() { ended <- cmd.Wait() }()
	eventually(a.d.t, "the gateway listens", 20*time.Second,
		func() bool { a.checkAlive(); return strings.Contains(a.log.String(), "msg=listening") })
}

// checkAlive checks that the process has not ended by itself.
func (a *ownGateway) checkAlive() {
	a.d.t.Helper()
	select {
	case err := <-a.ended:
		a.ended <- err
		a.d.t.Fatalf("the gateway has ended: %v\n%s", err, a.log.String())
	default:
	}
}

// endProcess ends the process with a signal and waits for it.
func (a *ownGateway) endProcess(sig syscall.Signal) {
	a.d.t.Helper()
	a.checkAlive()
	if err := a.cmd.Process.Signal(sig); err != nil {
		a.d.t.Fatal(err)
	}
	if err := <-a.ended; err != nil && sig != syscall.SIGKILL {
		a.d.t.Errorf("the gateway ended with %v\n%s", err, a.log.String())
	}
}

// askAPI calls the admin API. The status is 0 if there is no answer.
func (a *ownGateway) askAPI(method, path, body string) (status int, notice, text string) {
	req, err := http.NewRequest(method, "http://latchkey"+path, strings.NewReader(body))
	if err != nil {
		a.d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.api.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Latchkey-Notice"), string(b)
}

func (a *ownGateway) waitForHealth(want int) {
	a.d.t.Helper()
	var status int
	var text string
	eventually(a.d.t, fmt.Sprint("healthz says ", want), 10*time.Second, func() bool {
		a.checkAlive()
		status, _, text = a.askAPI("GET", "/healthz", "")
		return status == want
	})
	if want != http.StatusOK && !strings.Contains(text, "no door opens") {
		a.d.t.Errorf("healthz: got %s, want that no door opens", text)
	}
}

const restricted = 1000 // persons that the test suspends while the disk is full

// fullDisk fills the disk of a real gateway several times, each time within 0.2 s, while a card
// taps and another client changes the policy.
func fullDisk(t *testing.T, kind string, times int) {
	mnt := faultdisk.Mount(t, kind, 320)
	d := newDoor(t, store.Options{Dir: filepath.Join(mnt, "data")})
	var staff []access.Record
	for i := range restricted {
		staff = append(staff, access.Person{ID: access.NewID(), Name: fmt.Sprint("staff", i),
			Created: time.Now()})
	}
	d.applyRecords(staff...)
	d.stop()
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	a := &ownGateway{d: d, program: buildCommand(t, t.TempDir(), "latchkey/cli/latchkey")}
	a.api = http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socketPath())
		}}}
	a.start()
	t.Cleanup(func() { d.openStore() }) // for the check at the end
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)

	// Another client adds persons all the time.
	var added []string // read only after changes has ended
	var additions atomic.Int64
	stop, changes := make(chan struct{}), sync.WaitGroup{}
	changes.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("guest%d", i)
			switch status, _, _ := a.askAPI("POST", "/v1/persons", `{"name":"`+name+`"}`); status {
			case http.StatusCreated:
				added = append(added, name)
				additions.Add(1)
			default:
				time.Sleep(10 * time.Millisecond) // the disk is full, or the gateway is restarting
			}
		}
	})
	waitForEntry := func(what string) {
		t.Helper()
		eventually(t, what, 30*time.Second, func() bool {
			a.checkAlive()
			v, err := d.scan(annsCard)
			// The lock may reconnect later than the reader.
			return err == nil && (v.Verdict == wire.Granted || v.Verdict == wire.Retry)
		})
	}
	suspended := 0
	for n := range times {
		waitForEntry("the card is let in")
		wait := time.NewTimer(time.Duration(rand.IntN(1500)) * time.Millisecond)
		for busy := true; busy; {
			select {
			case <-wait.C:
				busy = false
			default:
				_, _ = d.scan(annsCard)
			}
		}
		began := time.Now()
		empty := faultdisk.Fill(t, mnt)
		took := time.Since(began)
		a.waitForHealth(http.StatusServiceUnavailable)
		moves := d.lock.Moves()
		if v, err := d.scan(annsCard); err == nil && v.Verdict == wire.Granted {
			t.Errorf("a tap on a full disk: got %+v", v)
		}
		if n == 0 { // all in the first round; they must survive each restart
			for ; suspended < restricted; suspended++ {
				status, notice, text := a.askAPI("PATCH", fmt.Sprint("/v1/persons/staff", suspended),
					`{"suspended":true}`)
				if status != http.StatusOK || notice != "" {
					t.Fatalf("restriction %d on a full disk: got %d %q %s, want it kept", suspended, status,
						notice, text)
				}
			}
		}
		if status, notice, text := a.askAPI("PUT", "/v1/lockdown", `{"on":true}`); status != http.StatusOK ||
			notice != "" {
			t.Errorf("lockdown on a full disk: got %d %q %s", status, notice, text)
		}
		for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
			a.endProcess(sig)
			a.start()
			a.waitForHealth(http.StatusServiceUnavailable)
		}
		var site struct{ Lockdown bool }
		if _, _, text := a.askAPI("GET", "/v1/site", ""); json.Unmarshal([]byte(text), &site) != nil ||
			!site.Lockdown {
			t.Errorf("after a restart: got %s, want the lockdown", text)
		}
		if got := d.lock.Moves(); got != moves {
			t.Errorf("the lock moved %d times while the disk was full", got-moves)
		}
		empty()
		a.waitForHealth(http.StatusOK)
		if status, _, text := a.askAPI("PUT", "/v1/lockdown", `{"on":false}`); status != http.StatusOK {
			t.Errorf("with space again: got %d %s", status, text)
		}
		t.Logf("%s, fill %d in %v: %d people added, %d suspended", kind, n+1, took.Round(time.Millisecond),
			additions.Load(), suspended)
	}
	waitForEntry("the card is let in again")
	close(stop)
	changes.Wait()
	a.endProcess(syscall.SIGTERM)
	st, err := store.Open(context.Background(), d.opts)
	if err != nil {
		t.Fatal(err)
	}
	p := st.Snapshot()
	names := map[string]access.Person{}
	for _, r := range p.Persons {
		names[r.Name] = r
	}
	for _, name := range added {
		if _, ok := names[name]; !ok {
			t.Errorf("%s was added but is missing", name)
		}
	}
	for i := range suspended {
		if !names[fmt.Sprint("staff", i)].Suspended {
			t.Errorf("staff%d was suspended but is not any more", i)
		}
	}
	if err := errors.Join(st.Verify(context.Background()), st.Close()); err != nil {
		t.Error(err)
	}
}

func TestFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) { fullDisk(t, kind, 1) })
	}
}
