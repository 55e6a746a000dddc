package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

func makeFlag(name string, v bool) wire.Measurement {
	return wire.Measurement{Name: name, Type: wire.FlagValue, Flag: v}
}

// sendReport sends measurements. Without an Echo the gateway treats them as late.
func (c *rawClient) sendReport(echo []byte, ms ...wire.Measurement) {
	c.t.Helper()
	b, err := wire.Report{Measurements: ms}.Encode(wire.SenMLCBOR)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	a, err := coapres.Call(ctx, c.conn, &c.held, coapres.Request{Method: codes.POST, Path: "/report",
		Echo: echo, Format: wire.SenMLCBOR, Body: b})
	if err != nil || a.Code != codes.Changed {
		c.t.Fatalf("got %v, %v, want 2.04", a.Code, err)
	}
}

// listAlarmDetails returns the details of all report and alarm events, in order.
func (s *site) listAlarmDetails() (details []string) {
	for _, ev := range s.listEvents() {
		if ev.Kind == audit.EventReport || ev.Kind == audit.EventAlarm {
			details = append(details, ev.Detail)
		}
	}
	return details
}

// A report that was delayed on its way makes no event, and the next report still makes its own.
func TestLateReportHidesNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	c := d.dialReader(d.addr)
	c.sendReport(c.fetchEcho(), makeFlag("tamper", false))
	c.sendReport(nil, makeFlag("tamper", true))
	if got := d.listAlarmDetails(); len(got) > 0 {
		t.Errorf("a late report made the events %q", got)
	}
	c.sendReport(c.fetchEcho(), makeFlag("tamper", true))
	eventually(t, "the next report makes the event", 5*time.Second,
		func() bool { return slices.Equal(d.listAlarmDetails(), []string{"tampered with"}) })
}

func TestEveryAlarmOfAReportIsKept(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	boot := wire.Measurement{Name: "boot", Type: wire.TextValue, Text: "power"}
	if err := d.lock.Report(ctx, wire.Report{Measurements: []wire.Measurement{boot, makeFlag("tamper", true),
		makeFlag("contact", true)}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"door opened without being unlocked", `started: "power"`, "tampered with"}
	eventually(t, "all three are events", 5*time.Second, func() bool {
		got := d.listAlarmDetails()
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// After a press of the lock's exit button the door may open without an alarm. A reader that reports
// an exit button changes nothing: only the lock's report counts.
func TestExitButtonIsNotAForcedDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.awaitLockState()
	report := func(n *device.Device, ms ...wire.Measurement) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Report(ctx, wire.Report{Measurements: ms}); err != nil {
			t.Fatal(err)
		}
	}
	report(d.reader, makeFlag("exit", true))
	report(d.lock, makeFlag("exit", true))
	report(d.lock, makeFlag("contact", true))
	// The last report: once it is an event, the earlier ones have been handled.
	report(d.lock, makeFlag("tamper", true))
	eventually(t, "the tamper contact is an event", 5*time.Second,
		func() bool { return slices.Contains(d.listAlarmDetails(), "tampered with") })
	got := d.listAlarmDetails()
	slices.Sort(got)
	if want := []string{"exit button pressed", "tampered with"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
