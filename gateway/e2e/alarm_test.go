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

func flag(name string, v bool) wire.Measurement {
	return wire.Measurement{Name: name, Type: wire.FlagValue, Flag: v}
}

// report sends measurements with an Echo, or without one, which is late.
func (c *rawClient) report(echo []byte, ms ...wire.Measurement) {
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

// alarms returns the events of reports in order, alarms included.
func (s *site) alarms() (details []string) {
	for _, ev := range s.events() {
		if ev.Kind == audit.EventReport || ev.Kind == audit.EventAlarm {
			details = append(details, ev.Detail)
		}
	}
	return details
}

// A report that was held back records no event, and the next report still records its own.
func TestLateReportHidesNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	c := d.client(d.addr)
	c.report(c.echo(), flag("tamper", false))
	c.report(nil, flag("tamper", true))
	if got := d.alarms(); len(got) > 0 {
		t.Errorf("a late report made the events %q", got)
	}
	c.report(c.echo(), flag("tamper", true))
	eventually(t, "the next report makes the event", 5*time.Second,
		func() bool { return slices.Equal(d.alarms(), []string{"tampered with"}) })
}

func TestEveryAlarmOfAReportIsKept(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.settled()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	boot := wire.Measurement{Name: "boot", Type: wire.TextValue, Text: "power"}
	if err := d.lock.Report(ctx, wire.Report{Measurements: []wire.Measurement{boot, flag("tamper", true),
		flag("contact", true)}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"door opened without being unlocked", `started: "power"`, "tampered with"}
	eventually(t, "all three are events", 5*time.Second, func() bool {
		got := d.alarms()
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// Somebody who presses the exit button inside may open the door; somebody who presses it on a
// switch may not.
func TestExitButtonIsNotAForcedDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.node("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.settled()
	report := func(n *device.Device, ms ...wire.Measurement) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Report(ctx, wire.Report{Measurements: ms}); err != nil {
			t.Fatal(err)
		}
	}
	report(d.reader, flag("exit", true))
	report(d.lock, flag("exit", true))
	report(d.lock, flag("contact", true))
	report(d.lock, flag("tamper", true)) // the last one: what comes before it is decided
	eventually(t, "the tamper contact is an event", 5*time.Second,
		func() bool { return slices.Contains(d.alarms(), "tampered with") })
	got := d.alarms()
	slices.Sort(got)
	if want := []string{"exit button pressed", "tampered with"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
