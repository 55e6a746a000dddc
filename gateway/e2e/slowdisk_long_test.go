//go:build long

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// TestLongSlowDisk: each sync of a real gateway takes 700 ms. Cards are answered late and right, no
// verdict comes before its decision is durable, and all is as before once the disk is quick again.
func TestLongSlowDisk(t *testing.T) {
	const sync = 700 * time.Millisecond
	d := newDoor(t, store.Options{Dir: t.TempDir()})
	d.leave()
	p := d.process()
	defer p.stop()
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.node("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.granted("on a quick disk", time.Now())
	slow := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=msync,fsync,fdatasync", "-e",
		"inject=msync,fsync,fdatasync:delay_exit=700000",
		"-p", strconv.Itoa(p.cmd.Process.Pid))
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	decided := map[uint64]wire.Verdict{}
	answers := map[string]int{}
	eventually(t, "the disk is slow", time.Minute, func() bool {
		began := time.Now()
		_, _ = d.scan(annsCard)
		return time.Since(began) >= sync
	})
	// A commit is two syncs. A tap waits for the one under way and for its own: people who come one
	// after the other are let in, or told to try again.
	pace := time.NewTicker(7 * time.Second)
	defer pace.Stop()
	tap := func() {
		began := time.Now()
		v, err := d.scan(annsCard)
		took := time.Since(began)
		t.Logf("%v %v after %v", v, err, took.Round(time.Millisecond))
		var code *device.CodeError
		switch {
		case errors.As(err, &code):
			answers[code.Code.String()]++
			return
		case err != nil:
			answers["none"]++
			t.Errorf("got %v after %v, want an answer", err, took)
			return
		}
		answers[v.Verdict.String()]++
		decided[v.Last] = v
		if took < sync {
			t.Errorf("got %v after %v, want no verdict before a sync is over", v, took)
		}
		if v.Verdict != wire.Granted && v.Verdict != wire.Retry {
			t.Errorf("got %v of a card that may enter", v)
		}
	}
	for range 4 {
		<-pace.C
		tap()
	}
	for range 8 { // back to back
		tap()
	}
	if n := d.reader.Sessions(); n != 1 {
		t.Errorf("got %d sessions, want the reader's first to go on", n)
	}
	t.Log(answers)
	if answers["granted"]+answers["retry"] == 0 {
		t.Error("no card was answered")
	}
	_ = slow.Process.Signal(os.Interrupt) // it lets go of the gateway
	_ = slow.Wait()
	eventually(t, "a quick disk again", time.Minute, func() bool {
		began := time.Now()
		v, err := d.scan(annsCard)
		if err == nil {
			decided[v.Last] = v
		}
		return err == nil && v.Verdict == wire.Granted && time.Since(began) < sync
	})
	p.kill()
	p.ended <- nil
	d.open()
	defer func() { _ = d.store.Close() }()
	for _, ev := range d.events() {
		if v, ok := decided[ev.Counter]; ok && ev.Kind == audit.EventDecision && ev.Granted {
			delete(decided, v.Last)
		}
		if ev.Kind == audit.EventDecision && !ev.Granted {
			t.Errorf("got %+v, want no card refused", ev)
		}
	}
	if len(decided) > 0 {
		t.Errorf("verdicts without a durable decision: %v", decided)
	}
}
