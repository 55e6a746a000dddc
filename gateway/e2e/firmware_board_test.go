//go:build firmware

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/store"
)

// One board that is reader and lock is two devices to the gateway: two keys, two sessions, one
// door.
func TestFirmwareReaderAndLockOnOneBoard(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newDoor(t, store.Options{})
		board := d.firmware(m, "reader-lock", "front-reader", d.readerKey, d.addr, "")
		board.ready()
		mark := board.Mark()
		board.Tell(strings.Join([]string{"role lock", "device front-lock", "kind lock", "gateway " + d.addr,
			"identity " + string(d.lockKey.ID), "secret " + d.lockKey.Secret.Reveal(), "save"}, "\n"))
		board.await(mark, 20*time.Second, "log lock: registered")
		board.ready()
		d.settled()

		online := map[string]string{}
		for _, v := range d.gw.Views() {
			if v.Online {
				online[v.Name] = v.Addr
			}
		}
		if len(online) != 2 || online["front-reader"] == online["front-lock"] {
			t.Errorf("got the sessions %v, want one of each device from an address of its own", online)
		}

		board.tap(annsCard, wire.Granted)
		if !board.State().On {
			t.Error("granted, and the lock is off")
		}
		eventually(t, "the pulse ends by itself", 3*time.Second, func() bool { return !board.State().On })
		board.tap(bobsCard, wire.Denied)
		if got := board.Moves(); got != 1 {
			t.Errorf("the lock went on %d times, want once", got)
		}
		board.Tell("!button 1")
		eventually(t, "the exit button opens", 3*time.Second, func() bool { return board.Moves() == 2 })
		board.Tell("!button 0")

		mark = board.Mark()
		board.powerCycle()
		board.await(mark, 20*time.Second, "log lock: registered")
		d.settled()
		board.tap(annsCard, wire.Granted)
		if m.emulator == "" {
			return
		}
		mark = board.Mark()
		board.Tell("!stat")
		line := board.await(mark, 5*time.Second, " stat ")
		var count, heap, peak, stack int
		if _, err := fmt.Sscanf(line, "%d stat heap=%d peak=%d stack=%d", &count, &heap, &peak,
			&stack); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		held(t, "heap", peak, 2*mostHeap)
		held(t, "stack", stack, mostStack)
		t.Logf("heap %d peak %d, stack %d", heap, peak, stack)
	})
}
