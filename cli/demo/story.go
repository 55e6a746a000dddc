package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/cli/simulate"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

// heldFor is how long the demo's attacker keeps a datagram.
const heldFor = 5 * time.Second

// chapter is one part of the story: an action and its expected result. It returns what differed, or
// nothing.
type chapter struct {
	title string
	play  func(context.Context, *House) string
}

// story holds the chapters in order. Each leaves the house as it found it, except the last.
var story = []chapter{
	{"ann holds her card to the reader", granted},
	{"bob comes outside his hours", deniedBecause(func(h *House) []byte { return h.people[1].uid },
		access.ReasonOutsideSchedule)},
	{"a stranger's card", deniedBecause(func(*House) []byte { return stranger }, access.ReasonUnknownCard)},
	{"an attacker sends ann's datagram again", replayed},
	{"an attacker holds a scan back for 5 s, and then lets everything through", scanHeld},
	{"an attacker holds a command back for 5 s, and then lets everything through", commandHeld},
	{"the switch in the hall, and its lamp", lampSwitched},
	{"the website: an owner switches the lamp and opens the door", website},
	{"the lock loses its power", lockLost},
	{"the reader is stolen, and its key revoked", readerRevoked},
}

// tellStory plays the story in a house of its own, and returns an error if one did not end as expected.
func tellStory(ctx context.Context, out *console, set Setting, as cast) error {
	// A weekday that is not today, in any time zone.
	day := strings.ToLower(time.Now().AddDate(0, 0, 3).Weekday().String()[:3])
	out.quiet = true
	h, err := buildHouse(ctx, out, set, as, day+" 08:00-18:00")
	if err != nil {
		return err
	}
	defer h.Close()
	h.capture()
	out.printf("A gateway on %s, its store on disk, four %s over real DTLS, and a website at %s\n", h.addr,
		h.cast, h.gw.ConsoleURL())
	return h.tell(ctx, story)
}

// tell plays chapters and returns an error if one did not end as expected.
func (h *House) tell(ctx context.Context, chapters []chapter) error {
	out, failed := h.out, 0
	for i, c := range chapters {
		out.printf("\n%d. %s\n", i+1, c.title)
		wrong := c.play(ctx, h)
		if ctx.Err() != nil { // and then nothing is as told
			return ctx.Err()
		}
		if wrong != "" {
			failed++
			out.printf("  NOT AS EXPECTED: %s\n", wrong)
		}
	}
	err := h.store.Verify(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		failed++
		out.printf("\nNOT AS EXPECTED: %v\n", err)
	}
	if seq, hash := h.store.Head(); failed == 0 {
		out.printf("\nAll went as expected. The chain of %d events is whole; its head is %d:%s.\n", seq, seq,
			hash)
		return nil
	}
	return errStory
}

// granted checks that the door opens within the tap and shuts by itself.
func granted(ctx context.Context, h *House) string {
	moves := h.nodes[Lock].Moves()
	t := h.tap(ctx, h.people[0].uid)
	h.show(t)
	switch {
	case t.err != nil || t.verdict.Verdict != wire.Granted:
		return "the verdict is not granted"
	case h.shows(ctx, func() bool {
		return h.nodes[Lock].Moves() == moves+1 &&
			h.nodes[Lock].State().On
	}) != nil:
		return "the door is not open"
	}
	opened := time.Now()
	if h.await(ctx, func() bool { return !h.nodes[Lock].State().On }) != nil {
		return "the door did not shut by itself"
	}
	h.out.printf("  the door shut by itself after %.1f s\n", time.Since(opened).Seconds())
	return ""
}

func deniedBecause(card func(*House) []byte, want access.Reason) func(context.Context, *House) string {
	return func(ctx context.Context, h *House) string {
		moves := h.nodes[Lock].Moves()
		t := h.tap(ctx, card(h))
		h.show(t)
		switch {
		case t.err != nil || t.verdict.Verdict != wire.Denied || t.tl.Decision.Reason != want:
			return fmt.Sprintf("want denied because of %s", want)
		case h.nodes[Lock].Moves() != moves:
			return "the door opened"
		}
		return ""
	}
}

// replayed sends the datagrams of a granted scan again.
func replayed(ctx context.Context, h *House) string {
	h.forgetCaptured()
	t := h.tap(ctx, h.people[0].uid)
	if t.err != nil || t.verdict.Verdict != wire.Granted {
		return "ann's own scan was not granted"
	}
	moves := h.nodes[Lock].Moves()
	_, decided := h.decisions()
	old := h.captured()
	h.replay(old)
	pause(ctx, time.Second)
	if _, n := h.decisions(); n != decided || h.nodes[Lock].Moves() != moves {
		return "the gateway decided something or something moved"
	}
	h.out.printf("  datagrams sent again: %d; nothing was decided, nothing moved\n", len(old))
	return ""
}

// scanHeld checks that nothing moves while the scan is held back, or after it.
func scanHeld(ctx context.Context, h *House) string {
	moves := h.nodes[Lock].Moves()
	_, over := h.relays[Reader].Hold(device.Up, heldFor)
	t := h.tap(ctx, h.people[0].uid)
	h.show(t)
	pauseAfter(ctx, over)
	if !errors.Is(t.err, device.ErrNoVerdict) || h.nodes[Lock].Moves() != moves {
		return "want no verdict and no movement"
	}
	h.out.printf("  let through after %v: the gateway found it stale, nothing moved\n", heldFor)
	var ev audit.Event
	came := func() bool { ev = h.newest(ctx, audit.EventStale); return ev.Device.Name == Reader }
	if h.await(ctx, came) != nil {
		return "no event says that the scan came late"
	}
	h.out.printf("  event %d: %s\n", ev.Seq, ev.Line())
	return h.recovered(ctx)
}

// newest is the newest event of a kind among the last; zero if there is none.
func (h *House) newest(ctx context.Context, kind audit.EventKind) audit.Event {
	events, err := h.store.Newest(ctx, 50)
	if err != nil {
		return audit.Event{}
	}
	for _, ev := range slices.Backward(events) {
		if ev.Kind == kind {
			return ev
		}
	}
	return audit.Event{}
}

// commandHeld checks the same for a command.
func commandHeld(ctx context.Context, h *House) string {
	moves := h.nodes[Lock].Moves()
	_, over := h.relays[Lock].Hold(device.Down, heldFor)
	t := h.tap(ctx, h.people[0].uid)
	h.show(t)
	pauseAfter(ctx, over)
	if t.err != nil || t.verdict.Verdict != wire.Retry || t.tl.Outcome != audit.OutcomeUnknown ||
		h.nodes[Lock].Moves() != moves {
		return "want the verdict retry, the outcome unknown and no movement"
	}
	h.out.printf("  let through after %v: the lock found it stale, nothing moved\n", heldFor)
	return h.recovered(ctx)
}

// recovered checks that the next tap works once the nodes are back.
func (h *House) recovered(ctx context.Context) string {
	if h.await(ctx, func() bool { return h.online(Reader) && h.known(Lock) }) != nil {
		return "reader and lock did not come back"
	}
	var t told
	if h.await(ctx, func() bool { t = h.tap(ctx, h.people[0].uid); return t.err == nil }) != nil ||
		t.verdict.Verdict != wire.Granted {
		return "the next tap was not granted"
	}
	h.out.printf("  the next tap: %s, in %.2f ms\n", verdictText(t.verdict), ms(t.ended.Sub(t.began)))
	return ""
}

// lampSwitched checks that the lamp goes on and off again.
func lampSwitched(ctx context.Context, h *House) string {
	for _, want := range []bool{true, false} {
		t := h.press(ctx)
		h.show(t)
		if t.err != nil || t.verdict.Verdict != wire.Granted ||
			h.shows(ctx, func() bool { return h.nodes[Bulb].State().On == want }) != nil {
			return "the lamp did not follow the switch"
		}
		h.out.printf("  %s\n", simulate.DescribeState(keys.KindLamp, h.nodes[Bulb].State()))
	}
	return ""
}

// lockLost checks that the verdict does not promise an open door.
func lockLost(ctx context.Context, h *House) string {
	h.nodes[Lock].off()
	if !h.cast.goodbye() {
		h.out.printf("  no goodbye from the lock: the gateway notices when a command gets no answer\n")
		t := h.tap(ctx, h.people[0].uid)
		h.show(t)
		if t.err != nil || t.verdict.Verdict != wire.Retry || t.tl.Outcome != audit.OutcomeUnknown {
			return "want the verdict retry and the outcome unknown"
		}
	}
	if h.await(ctx, func() bool { return !h.online(Lock) }) != nil {
		return "the gateway still counts the lock as online"
	}
	t := h.tap(ctx, h.people[0].uid)
	h.show(t)
	if t.err != nil || t.verdict.Verdict != wire.Retry || t.tl.Outcome != audit.OutcomeOffline {
		return "want the verdict retry and the outcome offline"
	}
	if err := h.PowerUp(ctx, Lock); err != nil {
		return err.Error()
	}
	return h.recovered(ctx)
}

// readerRevoked checks that the session ends at once and that the reader cannot connect again.
func readerRevoked(ctx context.Context, h *House) string {
	_, decided := h.decisions()
	began := time.Now()
	if err := h.revoke(ctx, Reader); err != nil {
		return err.Error()
	}
	if h.await(ctx, func() bool { return !h.online(Reader) }) != nil || time.Since(began) > time.Second {
		return "its session did not end within a second"
	}
	h.out.printf("  its session ended after %.2f ms\n", ms(time.Since(began)))
	t := h.tap(ctx, h.people[0].uid)
	h.show(t)
	if _, n := h.decisions(); t.err == nil || n != decided {
		return "the reader still gets answers"
	}
	return ""
}

// pauseAfter waits a second, in which a datagram that was held back could do harm.
func pauseAfter(ctx context.Context, over <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-over:
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// evidence is what the attacker at the reader's wire has captured.
type evidence struct {
	mu    sync.Mutex
	dgram [][]byte // guarded by mu; the newest are last
}

const maxEvidence = 64

// capture records what the reader sends from now on.
func (h *House) capture() {
	h.relays[Reader].Tap(func(dir device.Direction, b []byte) {
		if dir != device.Up {
			return
		}
		h.wire.mu.Lock()
		defer h.wire.mu.Unlock()
		if h.wire.dgram = append(h.wire.dgram, append([]byte(nil), b...)); len(h.wire.dgram) > maxEvidence {
			h.wire.dgram = h.wire.dgram[1:]
		}
	})
}

func (h *House) captured() [][]byte {
	h.wire.mu.Lock()
	defer h.wire.mu.Unlock()
	return append([][]byte(nil), h.wire.dgram...)
}

func (h *House) forgetCaptured() {
	h.wire.mu.Lock()
	defer h.wire.mu.Unlock()
	h.wire.dgram = nil
}

// replay sends captured datagrams to the gateway, as the reader.
func (h *House) replay(old [][]byte) {
	for _, b := range old {
		h.relays[Reader].Inject(device.Up, b)
	}
}
