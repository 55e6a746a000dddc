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
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// site is a gateway with one door, whose lock is there, and one reader that is not yet.
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
	now := time.Now()
	door := access.Target{ID: access.NewID(), Name: "front", Kind: access.Door, Pulse: time.Second, Created: now}
	ann := access.Person{ID: access.NewID(), Name: "ann", Created: now}
	lock := access.Device{ID: access.NewID(), Name: "lock-1", Kind: keys.KindLock, Targets: []access.ID{door.ID}, Created: now}
	reader := access.Device{ID: access.NewID(), Name: "reader", Kind: keys.KindReader, Targets: []access.ID{door.ID}, Created: now}
	lockKey, readerKey := provision.New(lock.ID), provision.New(reader.ID)
	if _, err := g.Apply(ctx, "test", access.Change{Put: door}, access.Change{Put: ann}, access.Change{Put: lock}, access.Change{Put: reader},
		access.Change{Put: lockKey}, access.Change{Put: readerKey},
		access.Change{Put: access.Credential{ID: st.CredentialID(UID), Person: ann.ID, Tail: "e580", Status: access.CardActive, Created: now}},
		access.Change{Put: access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson, Subject: ann.ID, Target: door.ID,
			Effect: access.Allow, Created: now}}); err != nil {
		t.Fatal(err)
	}
	n := device.New(device.Config{Name: lock.Name, Kind: keys.KindLock, Gateway: g.Addr().String(), Identity: lockKey.ID, Secret: lockKey.Secret})
	running.Go(func() { _ = n.Run(ctx) }) // returns nil when ctx ends
	s := &site{Reader{Name: reader.Name, Gateway: g.Addr().String(), Identity: readerKey.ID, Secret: readerKey.Secret},
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
