package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/device"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/restart"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// openRuntime opens a runtime folder, or returns nil for an empty path.
func openRuntime(path, data string) (*restart.Folder, error) {
	if path == "" {
		return nil, nil
	}
	return restart.OpenFolder(path, data)
}

// nonces collects the explicit nonces of a gateway's records to one node, and reports one that has
// two records under the same keys. New keys begin at the gateway's ChangeCipherSpec.
type nonces struct {
	t    *testing.T
	mu   sync.Mutex
	seen map[uint64][]byte // guarded by mu
	all  int               // guarded by mu
	keys int               // guarded by mu; how often there were new keys
}

func (n *nonces) take(dir device.Direction, b []byte) {
	const header, changeCipherSpec = 13, 20
	n.mu.Lock()
	defer n.mu.Unlock()
	for dir == device.Down && len(b) >= header {
		size := header + int(binary.BigEndian.Uint16(b[11:]))
		if size > len(b) {
			n.t.Errorf("the gateway has sent a malformed datagram: %x", b)
			return
		}
		r := b[:size]
		b = b[size:]
		switch {
		case r[0] == changeCipherSpec:
			n.seen = map[uint64][]byte{}
			n.keys++
		case r[4] == 1 && len(r) >= header+8:
			nonce := binary.BigEndian.Uint64(r[header:])
			if was := n.seen[nonce]; was != nil && !bytes.Equal(was, r) {
				n.t.Errorf("nonce %x has two records", nonce)
			}
			n.seen[nonce] = bytes.Clone(r)
			n.all++
		}
	}
}

// records returns how many sealed records there were.
func (n *nonces) records() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all
}

// handshakes returns how often there were new keys.
func (n *nonces) handshakes() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.keys
}

// lasting is a door whose gateway has a runtime folder.
type lasting struct {
	*door
	log *syncBuffer
	// Of the reader and of the lock.
	ways     [2]*device.Relay
	nonces   [2]*nonces
	captures [2]*capture
}

// newLasting makes such a door with simulated nodes.
func newLasting(t *testing.T) *lasting {
	t.Helper()
	d := newLastingDoor(t)
	d.connectNodes(d.ways[0].Addr(), d.ways[1].Addr())
	d.tapUntilOpen(t)
	return d
}

// newLastingDoor makes such a door without nodes.
func newLastingDoor(t *testing.T) *lasting {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "latchkey-test-")
	if err != nil {
		t.Fatal("mount a tmpfs at /dev/shm for this test: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &lasting{door: newDoor(t, store.Options{})}
	d.stop()
	d.log = new(syncBuffer)
	d.runtime, d.logTo = dir, d.log
	d.start()
	for i := range d.ways {
		d.nonces[i], d.captures[i] = &nonces{t: t, seen: map[uint64][]byte{}}, &capture{}
		d.ways[i] = newRelay(t, d.addr)
		d.ways[i].Tap(func(dir device.Direction, b []byte) {
			d.nonces[i].take(dir, b)
			d.captures[i].take(dir, b)
		})
	}
	return d
}

func (d *lasting) file() string { return filepath.Join(d.runtime, "sessions") }

// stopAndClose ends the gateway and closes its store.
func (d *lasting) stopAndClose() {
	d.t.Helper()
	d.stop()
	if err := d.store.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// startAgain opens the store and starts a gateway, whose log begins empty.
func (d *lasting) startAgain() {
	d.t.Helper()
	d.log = new(syncBuffer)
	d.logTo = d.log
	d.openStore()
	d.start()
}

// wantResumed waits until the gateway has said how many sessions it has resumed.
func (d *lasting) wantResumed(line string) {
	d.t.Helper()
	eventually(d.t, line, 5*time.Second, func() bool { return strings.Contains(d.log.String(), line) })
}

// wantNotResumed waits until the gateway has said that it resumes nothing. Then the nodes come back by
// a handshake, and the door opens.
func (d *lasting) wantNotResumed() {
	d.t.Helper()
	d.wantResumed("not resumed")
	if strings.Contains(d.log.String(), "sessions resumed") {
		d.t.Errorf("sessions were resumed:\n%s", d.log.String())
	}
	before := d.nonces[1].handshakes()
	d.lock.Drop() // it would notice by itself, but only at its next registration
	d.tapUntilOpen(d.t)
	if d.nonces[1].handshakes() == before {
		d.t.Error("the lock has made no handshake")
	}
}

// A planned restart ends no session. The nodes make no handshake. Their Echoes are void: the first
// scan gets 4.01 and a new Echo, and opens the door. The lock is asked for its state before that,
// and moves once. There is no event of sessions that end or begin.
func TestSessionsGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	d := newLasting(t)
	_, k := d.enrolDevice("back-reader", keys.KindReader, d.id)
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := transport.Dial(ctx, d.addr, k.ID, k.Secret, nil)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-conn.Done() })
	c := &rawClient{t: t, conn: conn}
	old := c.fetchEcho()
	if code, v := c.scan(1, annsCard, old, 0); v.Verdict != wire.Granted {
		t.Fatalf("before: got %s %+v, want granted", code, v)
	}
	for round := range 2 {
		moves := d.lock.Moves()
		d.stopAndClose()
		if info, err := os.Stat(d.file()); err != nil || info.Mode() != 0o600 {
			t.Fatalf("the file of the stop: got %v, %v", info, err)
		}
		d.startAgain()
		d.wantResumed("count=3 refused=0")
		if _, err := os.Stat(d.file()); err == nil {
			t.Error("the file is still there")
		}
		if round == 0 {
			if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
				t.Errorf("the first scan: got %+v, %v, want granted", v, err)
			}
		} else {
			d.awaitLockState() // without a registration or a command
			if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
				t.Errorf("the first scan: got %+v, %v, want granted", v, err)
			}
		}
		if got := d.lock.Moves() - moves; got != 1 {
			t.Errorf("the lock moved %d times, want once", got)
		}
		n := uint64(2 * (round + 1))
		if code, _ := c.scan(n, annsCard, old, 0); code != codes.Unauthorized {
			t.Errorf("an Echo of before the restart: got %s, want 4.01", code)
		}
		old = c.fetchEcho()
		if code, v := c.scan(n, annsCard, old, 0); v.Verdict != wire.Granted {
			t.Errorf("with a new Echo: got %s %+v, want granted", code, v)
		}
		if log := d.log.String(); strings.Contains(log, "session opened") ||
			strings.Contains(log, "session closed") {
			t.Errorf("sessions ended or began:\n%s", d.log.String())
		}
	}
	if r, l := d.reader.Sessions(), d.lock.Sessions(); r != 1 || l != 1 {
		t.Errorf("the reader had %d sessions and the lock %d, want one each", r, l)
	}
	stopped := false
	for _, ev := range d.listEvents() {
		if stopped = stopped || ev.Kind == audit.EventStop; stopped && ev.Kind == audit.EventSession &&
			ev.Device.Name != "back-reader" && ev.Detail != "registered" {
			t.Errorf("event %d: %s: %s", ev.Seq, ev.Device.Name, ev.Detail)
		}
	}
}

// The file put back, and a copy of the data folder from before the stop, resume nothing: the nodes
// come back by a handshake. No nonce has two records.
func TestNoSessionIsResumedTwice(t *testing.T) {
	t.Parallel()
	d := newLasting(t)
	d.stopAndClose()
	before := filepath.Join(t.TempDir(), "before")
	if out, err := exec.Command("cp", "-a", d.dir, before).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first, err := os.ReadFile(d.file())
	if err != nil {
		t.Fatal(err)
	}
	d.startAgain()
	d.wantResumed("count=2 refused=0")
	d.tapUntilOpen(t)
	if got := d.nonces[1].handshakes(); got != 1 {
		t.Errorf("the lock has made %d handshakes, want one", got)
	}

	d.stopAndClose()
	second, err := os.ReadFile(d.file())
	if err != nil {
		t.Fatal(err)
	}
	d.writeFile(first)
	d.startAgain()
	d.wantNotResumed()
	d.stopAndClose()
	d.writeFile(second)
	d.startAgain()
	d.wantNotResumed()
	d.stopAndClose()

	dir := d.dir
	d.dir, d.opts.Dir = before, before // as it was at the first stop, with the file of the last
	d.startAgain()
	d.wantNotResumed()
	d.stopAndClose()
	d.dir, d.opts.Dir = dir, dir
	d.startAgain() // with the file of the copy
	d.wantNotResumed()
}

func (d *lasting) writeFile(b []byte) {
	d.t.Helper()
	if err := os.WriteFile(d.file(), b, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// The session of a key that was revoked while the gateway did not run does not go on, nor that of a
// device that was changed or removed, and the others do.
func TestChangedWhileStopped(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*lasting) access.Change{
		"revoked": func(d *lasting) access.Change { return access.Change{Put: provision.Revoke(d.readerKey)} },
		"renamed": func(d *lasting) access.Change {
			reader := d.store.Snapshot().Devices[d.readerID]
			reader.Name = "side-reader"
			return access.Change{Put: reader}
		},
	} {
		d := newLasting(t)
		d.stopAndClose()
		d.openStore()
		if _, err := d.store.Apply(t.Context(), "test", change(d)); err != nil {
			t.Fatal(err)
		}
		if err := d.store.Close(); err != nil {
			t.Fatal(err)
		}
		d.startAgain()
		d.wantResumed("count=1 refused=1")
		d.awaitLockState()
		if name == "revoked" && d.isOnline(d.readerID) {
			t.Error("the revoked reader is online")
		}
		if got := d.lock.Sessions(); got != 1 {
			t.Errorf("%s: the lock had %d sessions, want one", name, got)
		}
	}
}

// A gateway that is killed while it stops saves all or nothing, and nobody resumes a session twice:
// after each kill the door opens again, and no nonce has two records.
func TestKilledWhileStopping(t *testing.T) {
	t.Parallel()
	d := newLasting(t)
	d.handOverStore()
	if err := os.Remove(d.file()); err != nil {
		t.Fatal(err)
	}
	p := d.runProcess()
	d.lock.Drop() // it would notice by itself, but only at its next registration
	resumed := 0
	waits := []time.Duration{0, 4 * time.Millisecond, 20 * time.Millisecond, 20 * time.Second} // at most
	for i, wait := range waits {
		eventually(t, "the door opens", 20*time.Second, func() bool {
			v, err := d.scan(annsCard)
			return err == nil && v.Verdict == wire.Granted
		})
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-p.ended:
			p.ended <- err
		case <-time.After(wait):
		}
		p.kill()
		b, _ := os.ReadFile(d.file())
		p = d.runProcess()
		eventually(t, "it has started", 5*time.Second,
			func() bool { return strings.Contains(p.log.String(), "listening") })
		if b != nil && strings.Contains(p.log.String(), "sessions resumed") {
			resumed++
			p.kill() // and what was resumed is not resumed again, even if the file is put back
			d.writeFile(b)
			p = d.runProcess()
			eventually(t, "the file is refused", 5*time.Second,
				func() bool { return strings.Contains(p.log.String(), "the gateway has started since") })
		} else if strings.Contains(p.log.String(), "sessions resumed") {
			t.Errorf("kill %d: sessions were resumed without a file", i)
		}
		d.lock.Drop()
	}
	if resumed == 0 {
		t.Error("no stop was complete, not even the one that had the time")
	}
	t.Logf("%d of %d stops were complete", resumed, len(waits))
	p.stop()
}

// A gateway that is killed while it starts has removed the file. If somebody puts the file back, the
// next start uses it only if the killed one has sent nothing to any node. No nonce has two records.
func TestKilledWhileStarting(t *testing.T) {
	t.Parallel()
	d := newLasting(t)
	d.handOverStore()
	if err := os.Remove(d.file()); err != nil {
		t.Fatal(err)
	}
	p := d.runProcess()
	sent := func() int { return d.nonces[0].records() + d.nonces[1].records() }
	const untilSent = -1
	for i, wait := range []time.Duration{0, 0, 4 * time.Millisecond, untilSent} {
		d.lock.Drop() // it would notice by itself, but only at its next registration
		eventually(t, "the door opens", 20*time.Second, func() bool {
			v, err := d.scan(annsCard)
			return err == nil && v.Verdict == wire.Granted
		})
		p.stop()
		b, err := os.ReadFile(d.file())
		if err != nil {
			t.Fatal(err)
		}
		before := sent()
		p = d.startProcess()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Microsecond) {
			if _, err := os.Stat(d.file()); err != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the file is not removed within 20 s")
			}
		}
		if wait == untilSent { // it asks the lock for its state
			eventually(t, "something is sent", 10*time.Second, func() bool { return sent() > before })
		} else {
			time.Sleep(wait)
		}
		p.kill()
		used := sent() > before
		d.writeFile(b)
		p = d.runProcess()
		eventually(t, "it has started", 10*time.Second,
			func() bool { return strings.Contains(p.log.String(), "msg=listening") })
		resumed := strings.Contains(p.log.String(), "sessions resumed")
		t.Logf("kill %d: used %t, resumed %t", i, used, resumed)
		if used && resumed {
			t.Errorf("kill %d: sessions were resumed twice:\n%s", i, p.log.String())
		}
	}
	p.stop()
}

// Sessions of other DTLS stacks go on after a restart too, and do not notice it. See TestWolfSSLGoesOn too.
func TestForeignSessionsGoOn(t *testing.T) {
	t.Parallel()
	for _, name := range chatClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLasting(t)
			_, k := d.enrolDevice("side-reader", keys.KindReader, d.id)
			c := newChats(t, d.addr, k)[name]()
			c.wantAnswer("before the restart", 1)
			d.stopAndClose()
			d.startAgain()
			d.wantResumed("count=3 refused=0")
			c.wantAnswer("after the restart", 2)
			c.wantAnswer("once more", 3)
			if got := d.readMetric("latchkey_handshakes_completed_total"); got != 0 {
				t.Errorf("got %d handshakes after the restart, want none", got)
			}
		})
	}
}
