//go:build !race

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// The gateway's allocations for one granted scan, from the scan's datagram to the verdict's: DTLS
// and CoAP of both sessions, freshness, decision, event, command, receipt, second event. The store
// is in memory. It is an average, because the libraries' pools and timers allocate now and then.
// More than this means that our code or a library has changed. If you add or save allocations on
// purpose, put the new figure here.
const (
	gateAllocs = 97
	gateSpread = 4 // how much the average may differ from one run to the next
)

const (
	gateDoors = 16
	gateWarm  = 3  // scans at each door first, to fill pools and maps
	gateScans = 12 // scans at each door that count; a reader has 20 requests before its rate bounds it
)

// inNodes is set in the environment of a second process of this program. It runs the nodes, so that
// their allocations are not counted.
const inNodes = "LATCHKEY_BENCH_NODES"

func TestMain(m *testing.M) {
	if os.Getenv(inNodes) == "" {
		os.Exit(m.Run())
	}
	if err := runNodes(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// node is what the other process must know about one node.
type node struct {
	Name, Gateway, Secret string
	Kind                  keys.Kind
	Identity              keys.ID
}

// runNodes reads the nodes and starts them. Each further line is the number of the reader that is to
// scan, and is answered when it has its verdict. It returns when its input ends.
func runNodes(in io.Reader, out io.Writer) error {
	lines := json.NewDecoder(in)
	var nodes []node
	if err := lines.Decode(&nodes); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var readers []*device.Device
	for _, n := range nodes {
		secret, err := keys.ParseSecret(n.Secret)
		if err != nil {
			return err
		}
		d := device.New(device.Config{Name: n.Name, Kind: n.Kind, Gateway: n.Gateway, Identity: n.Identity,
			Secret: secret})
		running.Go(func() { _ = d.Run(ctx) }) // returns nil when ctx ends
		ready, stop := context.WithTimeout(ctx, 20*time.Second)
		err = d.Ready(ready)
		stop()
		if err != nil {
			return err
		}
		if n.Kind == keys.KindReader {
			readers = append(readers, d)
		}
	}
	for i := 0; ; {
		if _, err := fmt.Fprintln(out, "done"); err != nil {
			return err
		}
		if err := lines.Decode(&i); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if v, err := readers[i].Scan(ctx, card(i)); err != nil || v.Verdict != wire.Granted {
			return fmt.Errorf("scan at door %d: %v, %w", i, v.Verdict, err)
		}
	}
}

func TestGateAllocationsOfAScan(t *testing.T) {
	h := newSite(t, store.Options{InMemory: true}, nil)
	var nodes []node
	for i := range gateDoors {
		lock, reader := h.door(i, card(i))
		for _, c := range []device.Config{lock, reader} {
			nodes = append(nodes, node{c.Name, h.gateway.Addr().String(), c.Secret.Reveal(), c.Kind,
				c.Identity})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), inNodes+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers, asked := bufio.NewScanner(out), json.NewEncoder(in)
	ask := func(v any) {
		t.Helper()
		if err := asked.Encode(v); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() {
			t.Fatal("the process of the nodes has ended")
		}
	}
	ask(nodes)
	h.waitForLocks(gateDoors)
	scan := func(times int) {
		t.Helper()
		for i := range times * gateDoors {
			before, _ := h.store.Head()
			ask(i % gateDoors)
			// The outcome is written after the verdict. The next scan must not share its commit.
			for seq := before; seq < before+2; seq, _ = h.store.Head() {
				if ctx.Err() != nil {
					t.Fatalf("got event %d, want %d: the decision and the outcome", seq, before+2)
				}
				time.Sleep(50 * time.Microsecond)
			}
		}
	}
	scan(gateWarm)
	// Each processor has a part of every pool, which would have to be filled.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	scan(gateScans)
	runtime.ReadMemStats(&after)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the nodes: %v", err)
	}
	got := float64(after.Mallocs-before.Mallocs) / (gateDoors * gateScans)
	t.Logf("%.1f allocations and %d bytes a scan", got,
		(after.TotalAlloc-before.TotalAlloc)/(gateDoors*gateScans))
	switch {
	case got > gateAllocs+gateSpread:
		t.Errorf("got %.1f allocations a scan, want %d", got, gateAllocs)
	case got < gateAllocs-gateSpread:
		t.Errorf("got %.1f allocations a scan, fewer than the %d of gateAllocs: put the new figure there",
			got, gateAllocs)
	}
}
