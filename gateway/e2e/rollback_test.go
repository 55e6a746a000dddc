package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/gateway/rollback"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// findRollbacks returns what doctor says about an older copy.
func (s *site) findRollbacks() (found []doctor.Finding) {
	s.t.Helper()
	send := client.InProcess(s.gw.AdminHandler()).RoundTrip
	d, err := client.Call(context.Background(), send, api.Diagnose, api.DoctorInput{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range d.Findings {
		if f.Code == doctor.CodeRollback {
			found = append(found, f)
		}
	}
	return found
}

// listRollbackEvents returns the events about an older copy.
func (s *site) listRollbackEvents() (out []audit.Event) {
	s.t.Helper()
	head, _ := s.store.Head()
	for seq := uint64(1); seq <= head; {
		events, err := s.store.Events(context.Background(), seq, 256)
		if err != nil || len(events) == 0 {
			s.t.Fatalf("events from %d: %d, %v", seq, len(events), err)
		}
		for _, ev := range events {
			if ev.Kind == audit.EventRollback {
				out = append(out, ev)
			}
		}
		seq += uint64(len(events))
	}
	return out
}

// rollBack lets the door work, and then puts back the data folder as it was before that. It returns
// the newest event of the older copy. tap opens the door. between is called while the newer store is
// open.
func (d *door) rollBack(tap, between func()) (end uint64) {
	d.t.Helper()
	eventually(d.t, "the lock's address is on disk", 30*time.Second, func() bool {
		at, err := d.store.Addresses(context.Background())
		return err == nil && at[d.lockID].IsValid()
	})
	closeAll := func() {
		d.stop()
		if err := d.store.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	closeAll()
	older := filepath.Join(d.t.TempDir(), "older")
	copyData(d.t, d.dir, older)
	d.openStore()
	end, _ = d.store.Head()
	d.start()
	d.awaitLockState()
	tap()
	tap()
	between()
	closeAll()
	copyData(d.t, older, d.dir)
	d.openStore()
	if got, _ := d.store.Head(); got != end {
		d.t.Fatalf("the older copy ends at %d, want %d", got, end)
	}
	d.start()
	return end
}

// copyData copies a data folder, whatever is where the copy goes.
func copyData(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	err := filepath.Walk(from, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Mode()&os.ModeSocket != 0 {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

var obeyedText = regexp.MustCompile(
	`^front-lock obeyed command ([0-9,]+) and this store ends at ([0-9,]+); what lay between is not known$`)

// checkLockNotices rolls the store back and waits until the lock has shown it.
func (d *door) checkLockNotices(tap func()) {
	d.t.Helper()
	var obeyed uint64
	end := d.rollBack(tap, func() {
		for _, tl := range d.listTimelines() {
			if !tl.Acknowledged.IsZero() {
				obeyed = max(obeyed, tl.Seq)
			}
		}
	})
	eventually(d.t, "an event about the older copy", 20*time.Second,
		func() bool { return len(d.listRollbackEvents()) > 0 })
	ev := d.listRollbackEvents()[0]
	m := obeyedText.FindStringSubmatch(ev.Detail)
	if m == nil || ev.Reason != audit.ReasonNodeAhead || ev.Device.ID != d.lockID {
		d.t.Fatalf("got %+v, want what the lock obeyed", ev)
	}
	command, _ := strconv.ParseUint(strings.ReplaceAll(m[1], ",", ""), 10, 64)
	ends, _ := strconv.ParseUint(strings.ReplaceAll(m[2], ",", ""), 10, 64)
	if command != obeyed || ends < end || ends >= command {
		d.t.Errorf("got %q, want command %d and an end from %d on", ev.Detail, obeyed, end)
	}
	found := d.findRollbacks()
	if len(found) != 1 || found[0].Text != ev.Detail || found[0].Device.Name != "front-lock" {
		d.t.Fatalf("doctor says %+v, want %q", found, ev.Detail)
	}
	tap() // it shuts no door
	tap()
	if all := d.listRollbackEvents(); len(all) != 1 {
		d.t.Errorf("got %d events, want one", len(all))
	}
}

// Without head.log a lock alone shows that the store was put back, and doors go on.
func TestALockNoticesARollback(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	d.tapUntilOpen(t)
	d.checkLockNotices(func() { d.tapUntilOpen(t) })
}

// head.log names what may be undone, and what the lock says beside it is no second finding.
func TestHeadLogNoticesARollback(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.stop()
	d.headLog = rollback.Place{File: filepath.Join(t.TempDir(), "head", rollback.FileName), Data: d.dir}
	d.start()
	d.connectNodes(d.addr, d.addr)
	d.tapUntilOpen(t)
	d.rollBack(func() { d.tapUntilOpen(t) }, func() { d.revokeKey(d.readerKey) })
	found := d.findRollbacks()
	want := regexp.MustCompile(
		`^this store is an older copy: events [0-9]+–[0-9]+ are missing; 1 revoked key among them may be undone$`)
	if len(found) != 1 || !want.MatchString(found[0].Text) {
		t.Fatalf("doctor says %+v", found)
	}
	d.lock.Drop()
	d.tapUntilOpen(t)
	if found := d.findRollbacks(); len(found) != 1 {
		t.Errorf("doctor says %+v, want one finding", found)
	}
	seq := d.listRollbackEvents()[0].Seq
	send := client.InProcess(d.gw.AdminHandler()).RoundTrip
	in := api.AlarmInput{Seq: seq, Body: api.Acknowledgement{Remark: "I put it back"}}
	if _, err := client.Call(t.Context(), send, api.AcknowledgeAlarm, in); err != nil {
		t.Fatal(err)
	}
	d.lock.Drop()
	d.tapUntilOpen(t)
	if found := d.findRollbacks(); len(found) != 0 {
		t.Errorf("doctor says %+v after the acknowledgement", found)
	}
}

// A lock that claims what cannot be is named. It opens no door and shuts none.
func TestALyingLockIsNamed(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runDevice(device.Config{Name: "front-lock", Kind: keys.KindLock}, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.awaitLockState()
	d.lock.Claim(1, 1<<52)
	d.lock.Drop()
	eventually(t, "an event about the lock", 20*time.Second,
		func() bool { return len(d.listRollbackEvents()) > 0 })
	ev := d.listRollbackEvents()[0]
	const want = "front-lock says that it obeyed command 4,503,599,627,370,496, which cannot be"
	if ev.Reason != audit.ReasonNodeWrong || !strings.HasPrefix(ev.Detail, want) {
		t.Fatalf("got %+v", ev)
	}
	for n := range uint64(3) {
		d.lock.Claim(1, 1<<52+n)
		d.lock.Drop()
		d.tapUntilOpen(t)
	}
	if all := d.listRollbackEvents(); len(all) != 1 {
		t.Errorf("got %d events, want one", len(all))
	}
}
