package e2e

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"golang.org/x/time/rate"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// sendScan sends a fresh scan with the counter n and returns the answer, with the time to wait that
// it names (Max-Age).
func (c *rawClient) sendScan(n uint64, uid []byte) (code codes.Code, v wire.Verdict, wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	now := time.Now()
	echo, age := c.held.Age(now, now)
	body, err := wire.Scan{N: n, UID: uid, Age: age}.Encode(wire.CBOR)
	if err != nil {
		c.t.Error(err)
	}
	req := pool.NewMessage(ctx)
	req.SetCode(codes.POST)
	req.MustSetPath("/scan")
	req.SetContentFormat(message.AppCBOR)
	req.SetOptionBytes(252, echo)
	req.SetBody(bytes.NewReader(body))
	resp, err := c.conn.Do(req)
	if err != nil {
		c.t.Errorf("scan %d was not answered: %v", n, err)
		return 0, v, 0
	}
	c.held.Take(coapres.EchoOf(resp), time.Now())
	if body, err = resp.ReadBody(); err == nil && resp.Code() == codes.Changed {
		v, _ = wire.ParseVerdict(wire.CBOR, body)
	}
	seconds, _ := resp.Options().GetUint32(message.MaxAge)
	return resp.Code(), v, time.Duration(seconds) * time.Second
}

// A reader that sends a thousand valid scans a second gets decisions up to its limit. The other
// scans are refused, and each answer says when to try again. Taps at other doors are served, the
// reader's session continues, and after the wait its scans are decided again.
func TestReaderThatNeverRests(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	side := &door{site: d.site, id: d.addTarget("side-door", access.Door, time.Second)}
	side.readerID, side.readerKey = d.enrolDevice("side-reader", keys.KindReader, side.id)
	side.lockID, side.lockKey = d.enrolDevice("side-lock", keys.KindLock, side.id)
	bobsCard := []byte{0xb0, 0xb0, 0xb0, 0xb0}
	d.addPerson("bob", bobsCard, side.id)
	side.lock = d.runNode("side-lock", keys.KindLock, side.lockKey, d.addr)
	side.awaitLockState()
	c := side.dialReader(d.addr)
	c.fetchEcho()

	const scans, burst, perSecond = 1500, 20, 10
	var (
		wg               sync.WaitGroup
		mu               sync.Mutex
		decided, refused int           // guarded by mu
		longest          time.Duration // guarded by mu; the longest wait that an answer named
		sent             atomic.Uint64
	)
	pace, began := rate.NewLimiter(1000, 1), time.Now()
	for range 2 { // NSTART: as many requests as may be outstanding
		wg.Go(func() {
			for n := sent.Add(1); n <= scans; n = sent.Add(1) {
				_ = pace.Wait(context.Background()) // with no deadline it does not fail
				code, _, wait := c.sendScan(n, bobsCard)
				if code == codes.Unauthorized { // the other one had four answers meanwhile: this Echo is too old
					code, _, wait = c.sendScan(n, bobsCard)
				}
				mu.Lock()
				switch longest = max(longest, wait); {
				case code == codes.Changed:
					decided++
				case code == codes.TooManyRequests && wait >= time.Second && wait <= 10*time.Second:
					refused++
				default:
					t.Errorf("scan %d: got %s and a wait of %v, want a verdict, or 4.29 and a wait of 1 to 10 s",
						n, code, wait)
				}
				mu.Unlock()
			}
		})
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	taps, tick := 0, time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for flooded := true; flooded; {
		select {
		case <-over:
			flooded = false
		case <-tick.C:
			taps++
			if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
				t.Errorf("tap %d at the other door: got %+v, %v, want granted", taps, v, err)
			}
		}
	}
	elapsed := time.Since(began)
	t.Logf("%d scans in %v: %d decided, %d refused; %d taps at the other door", scans, elapsed, decided,
		refused, taps)
	if got := d.lock.Moves(); got != taps || taps < 5 {
		t.Errorf("the other lock moved %d times for %d taps, want once for each tap, and five taps at least",
			got, taps)
	}
	if most := int(burst+perSecond*elapsed.Seconds()) + 1; decided < burst-1 || decided > most ||
		decided+refused != scans {
		t.Errorf("got %d scans decided and %d refused, want %d to %d of %d decided", decided, refused,
			burst-1, most, scans)
	}

	<-time.After(longest) // as the answer demanded
	moves := side.lock.Moves()
	if code, v, _ := c.sendScan(scans+1, bobsCard); code != codes.Changed || v.Verdict != wire.Granted ||
		side.lock.Moves() != moves+1 {
		t.Errorf("after the wait: got %s %+v and %d moves, want granted and one move", code, v,
			side.lock.Moves()-moves)
	}
	for _, ev := range d.listEvents() {
		if ev.Kind == audit.EventSession && ev.Detail != "registered" {
			t.Errorf("got a session event of %s: %s", ev.Device.Name, ev.Detail)
		}
	}
}
