//go:build firmware

package e2e

import (
	"slices"
	"strings"
	"testing"

	"latchkey/keys"
)

// listMessages returns what tshark shows of the CoAP messages so far: one line code|path|format each.
func (d *lasting) listMessages(node int, k keys.Key) []string {
	d.t.Helper()
	shown := decodeCapture(d.t, d.captures[node].writePcap(d.t), "-o", "dtls.psk:"+secretInHex(k))
	return strings.Split(strings.TrimSpace(shown), "\n")
}

// A planned restart ends no session of a node with the firmware: the node makes no handshake. The
// reader's Echo is void, so its scan is refused as not fresh, and repeated with a new one. The lock is
// asked for its state before its first command. The door opens, and no nonce has two records.
func TestFirmwareSessionsGoOn(t *testing.T) {
	t.Parallel()
	findProgram(t, "tshark", tsharkPackage)
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newLastingDoor(t)
		f := &firmDoor{door: d.door,
			lock: d.runFirmware(m, "lock", "front-lock", d.lockKey, d.ways[1].Addr(), "")}
		f.lock.waitUntilReady()
		f.reader = d.runFirmware(m, "reader", "front-reader", d.readerKey, d.ways[0].Addr(), "")
		f.reader.waitUntilReady()
		f.tapUntilOpen()
		for round := range 2 {
			d.stopAndClose()
			toReader, toLock := d.listMessages(0, d.readerKey), d.listMessages(1, d.lockKey)
			if len(toReader) < 4 || len(toLock) < 6 {
				t.Fatalf("tshark shows %q and %q, want registrations, a scan and a command", toReader, toLock)
			}
			d.startAgain()
			d.wantResumed("count=2 refused=0")
			f.tapUntilOpen()
			toReader = d.listMessages(0, d.readerKey)[len(toReader):]
			toLock = d.listMessages(1, d.lockKey)[len(toLock):]
			t.Logf("restart %d: the reader's messages %q, the lock's %q", round+1, toReader, toLock)
			if !isRefusedFirst(toReader) {
				t.Errorf("got %q at the reader, want its scan refused with 4.01, and then a verdict", toReader)
			}
			if !isAskedFirst(toLock) {
				t.Errorf("got %q at the lock, want GET /act, and then a command that is obeyed", toLock)
			}
		}
		if r, l := f.reader.Sessions(), f.lock.Sessions(); r != 1 || l != 1 {
			t.Errorf("the reader made %d handshakes and the lock %d, want one each", r, l)
		}
		if r, l := d.nonces[0].handshakes(), d.nonces[1].handshakes(); r != 1 || l != 1 {
			t.Errorf("the gateway made %d handshakes with the reader and %d with the lock, want one each", r, l)
		}
	})
}

// isRefusedFirst tells whether a scan is answered 4.01, and then one has a verdict. An update of the
// registration before the scan brings an Echo, so that the scan is not refused.
func isRefusedFirst(lines []string) bool {
	refused := indexOf(lines, "129|/scan|")
	updated := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, "|/rd/") })
	verdict := indexOf(lines, "68|/scan|")
	return verdict >= 0 && (refused >= 0 && refused < verdict || updated >= 0 && updated < verdict)
}

// isAskedFirst tells whether an actuator answers GET /act before it gets a command, which it obeys.
func isAskedFirst(lines []string) bool {
	state := indexOf(lines, "69|/act|")
	command, receipt := indexOf(lines, "2|/act|"), indexOf(lines, "68|/act|")
	return state >= 0 && state < command && command < receipt
}

func indexOf(lines []string, start string) int {
	return slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, start) })
}
