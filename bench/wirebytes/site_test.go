package wirebytes

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/clock"
	"latchkey/gateway/house"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// site is a gateway with one door. Its lock is connected, its reader is not yet.
type site struct {
	reader Reader
	port   int // of the gateway
}

func newSite(t *testing.T) *site {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	p := house.Plan{Card: st.CredentialID, At: time.Now()}
	door := p.Door("front", time.Second)
	_, lock := p.Device("lock-1", keys.KindLock, door)
	_, reader := p.Device("reader", keys.KindReader, door)
	p.Allow(access.SubjectPerson, p.Person("ann", UID), door, "")
	if _, err := g.Apply(ctx, "test", p.Take()...); err != nil {
		t.Fatal(err)
	}
	n := device.New(device.Config{Name: "lock-1", Kind: keys.KindLock, Gateway: g.Addr().String(),
		Identity: lock.ID, Secret: lock.Secret})
	running.Go(func() { _ = n.Run(ctx) }) // returns nil when ctx ends
	s := &site{Reader{Name: "reader", Gateway: g.Addr().String(), Identity: reader.ID, Secret: reader.Secret},
		g.Addr().(*net.UDPAddr).Port}
	t.Cleanup(s.reader.Close)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if v := g.Views(); len(v) == 1 && v[0].Known {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal("the lock's state was not read")
		}
	}
}
