package rollback

import (
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// hear lets the watch hear a device, and returns what is found.
func (h *house) hear(device access.ID, epoch uint32, id uint64) []string {
	h.t.Helper()
	h.watch.Hear(device, wire.State{Obeyed: id, ObeyedEpoch: epoch})
	h.watch.flush()
	return h.findings()
}

// command makes the event of a granted decision.
func (h *house) command() uint64 {
	h.t.Helper()
	adm, err := h.store.Admit(h.t.Context(), access.Attempt{Source: access.ByOperator, Operator: "tester",
		Target: doorID, Action: wire.Lock, At: time.Now(), ClockTrusted: true})
	if err != nil || !adm.Decision.Granted {
		h.t.Fatalf("got %+v, %v, want a granted decision", adm, err)
	}
	return adm.Seq
}

func (h *house) setEpoch(epoch uint64) {
	site := h.store.Snapshot().Site
	site.Epoch = epoch
	h.apply(put(site))
}

func TestWhatDevicesSay(t *testing.T) {
	const noFile, withFile = false, true
	for _, c := range []struct {
		rule    string
		file    bool
		epoch   uint64 // of the store
		claimed uint32
		id      func(command, head uint64) uint64
		want    string // in the finding; empty: none
	}{
		{"nothing", withFile, 1, 0, func(_, _ uint64) uint64 { return 0 }, ""},
		{"a command of this store", withFile, 1, 0, func(c, _ uint64) uint64 { return c }, ""},
		{"a command that the store does not know", noFile, 1, 0, func(_, h uint64) uint64 { return h + 79 },
			"front-lock obeyed command 89 and this store ends at 10; what lay between is not known"},
		{"the same beside head.log", withFile, 1, 0, func(_, h uint64) uint64 { return h + 1 },
			"front-lock obeyed command 11 and this store ends at 10"},
		{"an event that is no command", noFile, 1, 0, func(c, _ uint64) uint64 { return c + 1 },
			"but event 8 of this store is no command to it: this store may be an older copy that went on"},
		{"the same, and head.log has seen all events", withFile, 1, 0, func(c, _ uint64) uint64 { return c + 1 },
			"which cannot be: event 8 is no command, and head.log shows that it never was another"},
		{"far too much", withFile, 1, 0, func(_, h uint64) uint64 { return h + 1<<40 },
			"which cannot be: this store ends"},
		{"a command from before a restore", withFile, 3, 2, func(_, h uint64) uint64 { return h + 79 }, ""},
		{"a command after a restore that the store does not know", withFile, 3, 4,
			func(c, _ uint64) uint64 { return c },
			"after a restore of which this store knows nothing: it is of epoch 3, and the command is of epoch 4"},
		{"far too late an epoch", withFile, 3, 4_000_000_000, func(c, _ uint64) uint64 { return c },
			"which cannot be"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := newHouse(t)
			if !c.file {
				h.place = Place{Data: h.place.Data}
			}
			h.open()
			h.furnish()
			h.record(3)
			h.setEpoch(c.epoch + 6)
			h.setEpoch(c.epoch)
			command := h.command()
			h.record(3)
			h.watch.flush()
			head, _ := h.store.Head()
			if command != 7 || head != 10 {
				t.Fatalf("command %d, head %d: want 7 and 10", command, head)
			}
			got := h.hear(lockID, c.claimed, c.id(command, head))
			if (c.want == "") != (len(got) == 0) || len(got) > 1 ||
				len(got) == 1 && !strings.Contains(got[0], c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A device makes one finding until somebody has acknowledged it, and all together make a bounded
// number.
func TestDevicesMakeFewFindings(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	for n := range uint64(50) {
		if got := h.hear(lockID, 0, 100+n); len(got) != 1 {
			t.Fatalf("got %q, want one finding", got)
		}
	}
	h.watch.tell(t.Context())
	seq, _ := h.store.Head()
	if _, err := h.watch.Acknowledge(t.Context(), "tester", seq, ""); err != nil {
		t.Fatal(err)
	}
	if got := h.hear(lockID, 0, 100); len(got) != 0 {
		t.Errorf("got %q after the acknowledgement", got)
	}
	h.close()
	h.open()
	if got := h.hear(lockID, 0, 100); len(got) != 0 {
		t.Errorf("got %q after the acknowledgement and a restart", got)
	}
	if got := h.hear(lockID, 0, 500); len(got) != 1 {
		t.Errorf("got %q, want one about a newer command", got)
	}
	for n := range 100 {
		id := access.ID("00000000" + string(rune('a'+n/10)) + string(rune('0'+n%10)))
		h.watch.Hear(id, wire.State{Obeyed: 1000})
	}
	h.watch.flush()
	if got := len(h.findings()); got > maxOfNodes {
		t.Errorf("got %d findings, want %d at most", got, maxOfNodes)
	}
	h.close()
	h.open()
	if got := len(h.findings()); got > maxOfNodes || got < 2 {
		t.Errorf("got %d findings after a restart", got)
	}
}

// What head.log has found covers what devices say about it.
func TestAKnownRollbackIsNotFoundTwice(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.record(3)
	h.close()
	older := t.TempDir()
	copyFolder(t, h.place.Data, older)
	h.open()
	h.record(20)
	h.revoke()
	h.close()
	copyFolder(t, older, h.place.Data)
	h.open()
	h.want("1 revoked key")
	if got := h.hear(lockID, 0, 20); len(got) != 1 {
		t.Errorf("got %q, want the one of head.log", got)
	}
	if got := h.hear(lockID, 0, 26); len(got) != 2 {
		t.Errorf("got %q, want another about a command that head.log has not seen", got)
	}
}
