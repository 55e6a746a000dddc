//go:build long

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// hangTime is the environment variable that says how long a sink hangs in TestLongHang, such as 1h.
const hangTime = "LATCHKEY_TEST_HANG"

// newOwnGateway prepares a gateway in a process of its own. The door's own gateway has ended.
func (d *door) newOwnGateway(program string) *ownGateway {
	return &ownGateway{d: d, program: program, api: http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socketPath())
		}}}}
}

// readSink returns how a sink is doing, as the API tells of it. A gateway that has just started may
// not know it yet: then the status is empty.
func (a *ownGateway) readSink(name string) api.SinkStatus {
	a.d.t.Helper()
	status, _, text := a.askAPI("GET", "/v1/sinks/"+name, "")
	v := api.Sink{Status: &api.SinkStatus{}}
	if err := json.Unmarshal([]byte(text), &v); status != http.StatusOK || err != nil {
		a.d.t.Errorf("got %d %s, want a sink", status, text)
	}
	return *v.Status
}

// anonymous returns the memory of the process that no file is behind, and all that is resident, in
// KiB.
func (a *ownGateway) anonymous() (anonymous, resident int) {
	a.d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		a.d.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		_, _ = fmt.Sscanf(line, "RssAnon: %d kB", &anonymous)
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &resident)
	}
	return anonymous, resident
}

// observed is a gateway under test, with the times of its taps and its memory.
type observed struct {
	*ownGateway
	name   string
	took   []time.Duration
	memory []int // anonymous, in KiB, once a sample
}

// tap taps once and notes how long the answer took.
func (o *observed) tap() {
	o.d.t.Helper()
	began := time.Now()
	if v, err := o.d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		o.d.t.Errorf("%s: tap %d: got %+v, %v, want granted", o.name, len(o.took)+1, v, err)
	}
	o.took = append(o.took, time.Since(began))
}

// growth returns by how much memory was more in the last third of the samples than in the first,
// by their medians, in KiB.
func (o *observed) growth() int {
	third := max(len(o.memory)/3, 1)
	median := func(some []int) int { some = slices.Sorted(slices.Values(some)); return some[len(some)/2] }
	return median(o.memory[len(o.memory)-third:]) - median(o.memory[:third])
}

// Two gateways with the same policy run side by side, and somebody taps at both. The webhook of one
// takes each request and never answers. Its taps take as long as those of the other, and so does its
// memory grow. Then the webhook answers, and gets everything.
func TestLongHang(t *testing.T) {
	lasts := 2 * time.Minute
	if text := os.Getenv(hangTime); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", hangTime, err)
		}
	}
	program := buildCommand(t, t.TempDir(), "latchkey/cli/latchkey")
	c := startReceiver(t)
	c.hang()
	both := []*observed{{name: "without a sink"}, {name: "with a sink that hangs"}}
	for i, o := range both {
		d := newDoor(t, store.Options{})
		if i == 1 {
			d.addSink(c)
		}
		d.handOverStore()
		o.ownGateway = d.newOwnGateway(program)
		o.start()
		d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
		d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
		eventually(t, "the door opens", 10*time.Second, func() bool {
			v, err := d.scan(annsCard)
			return err == nil && v.Verdict == wire.Granted
		})
	}

	taps := time.NewTicker(125 * time.Millisecond)
	defer taps.Stop()
	every := min(time.Minute, lasts/12)
	began, sampled := time.Now(), time.Now()
	for n := 0; time.Since(began) < lasts; n++ {
		<-taps.C
		both[n%2].tap()
		if time.Since(sampled) < every {
			continue
		}
		sampled = time.Now()
		line := fmt.Sprintf("after %v", time.Since(began).Round(time.Second))
		for _, o := range both {
			o.checkAlive()
			anonymous, resident := o.anonymous()
			o.memory = append(o.memory, anonymous)
			line += fmt.Sprintf("; %s: %d KiB anonymous, %d resident", o.name, anonymous, resident)
		}
		v := both[1].readSink("hook")
		t.Logf("%s; %d events wait, %d failures", line, v.LagEvents, v.Failed)
	}
	if v := both[1].readSink("hook"); v.LagEvents < uint64(len(both[1].took)) || v.Taken != 0 {
		t.Errorf("got %+v, want that all events wait", v)
	}
	var p99 [2]time.Duration
	for i, o := range both {
		slices.Sort(o.took)
		n := len(o.took)
		p99[i] = o.took[n*99/100]
		t.Logf("%s: %d taps, p50 %v, p99 %v, p99.9 %v, most %v; memory has grown by %d KiB", o.name, n,
			o.took[n/2], p99[i], o.took[n*999/1000], o.took[n-1], o.growth())
	}
	if p99[1] > 3*p99[0]+20*time.Millisecond {
		t.Errorf("p99 is %v with a sink that hangs, and %v without", p99[1], p99[0])
	}
	if more := both[1].growth() - both[0].growth(); more > 8<<10 {
		t.Errorf("with a sink that hangs, memory has grown by %d KiB more", more)
	}

	c.answer()
	for _, paused := range []string{"true", "false"} { // so that it does not wait for its next try
		status, _, text := both[1].askAPI("PATCH", "/v1/sinks/hook", `{"paused":`+paused+`}`)
		if status/100 != 2 {
			t.Errorf("got %d %s", status, text)
		}
	}
	eventually(t, "all events come", 60*time.Second, func() bool {
		return c.newest() > uint64(2*lasts/time.Second) && both[1].readSink("hook").LagEvents == 0
	})
	t.Logf("%d events came, %d of them twice", c.newest(), c.check())
	for _, o := range both {
		o.endProcess(syscall.SIGTERM)
	}
}
