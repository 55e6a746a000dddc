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

// Each sync of a real gateway's disk takes 700 ms. Scans get late but correct answers, and no
// verdict comes before its decision is durable. Once the disk is quick again, cards are granted at
// once.
func TestLongSlowDisk(t *testing.T) {
	const sync = 700 * time.Millisecond
	d := newDoor(t, store.Options{Dir: t.TempDir()})
	d.handOverStore()
	p := d.runProcess()
	defer p.stop()
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.tapUntilGranted("on a quick disk", time.Now())
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
	// A commit is two syncs. A tap waits for the commit under way and for its own. People who come
	// one after the other are granted, or told to try again.
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
			t.Errorf("got %v after %v, want the verdict after a sync at least", v, took)
		}
		if v.Verdict != wire.Granted && v.Verdict != wire.Retry {
			t.Errorf("got %v for a card that may enter, want granted or retry", v)
		}
	}
	for range 4 {
		<-pace.C
		tap()
	}
	for range 8 { // without a pause
		tap()
	}
	if n := d.reader.Sessions(); n != 1 {
		t.Errorf("got %d sessions, want the reader's first to continue", n)
	}
	t.Log(answers)
	if answers["granted"]+answers["retry"] == 0 {
		t.Error("no scan got a verdict")
	}
	_ = slow.Process.Signal(os.Interrupt) // strace detaches from the gateway
	_ = slow.Wait()
	eventually(t, "the disk is quick again", time.Minute, func() bool {
		began := time.Now()
		v, err := d.scan(annsCard)
		if err == nil {
			decided[v.Last] = v
		}
		return err == nil && v.Verdict == wire.Granted && time.Since(began) < sync
	})
	p.kill()
	p.ended <- nil
	d.openStore()
	defer func() { _ = d.store.Close() }()
	for _, ev := range d.listEvents() {
		if v, ok := decided[ev.Counter]; ok && ev.Kind == audit.EventDecision && ev.Granted {
			delete(decided, v.Last)
		}
		if ev.Kind == audit.EventDecision && !ev.Granted {
			t.Errorf("got %+v, want no card denied", ev)
		}
	}
	if len(decided) > 0 {
		t.Errorf("got verdicts without a durable decision: %v", decided)
	}
}
