package device_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/clock"
	"latchkey/gateway/house"
	"latchkey/gateway/store"
	"latchkey/keys"
)

var annsCard = []byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}

// A reader and a lock in Go, with a real gateway. The firmware of a board does the same.
func Example() {
	home, err := openHome()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer home.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The lock calls Changed with each new state.
	moved := make(chan wire.State, 8)
	lock := device.New(device.Config{Name: "front-lock", Kind: keys.KindLock, Gateway: home.addr,
		Identity: home.lock.ID, Secret: home.lock.Secret, Changed: func(s wire.State) { moved <- s }})
	go lock.Run(ctx)

	// The reader scans a card.
	reader := device.New(device.Config{Name: "front-reader", Kind: keys.KindReader, Gateway: home.addr,
		Identity: home.reader.ID, Secret: home.reader.Secret})
	go reader.Run(ctx)
	if err := errors.Join(lock.Ready(ctx), reader.Ready(ctx)); err != nil {
		fmt.Println(err)
		return
	}

	verdict, err := reader.Scan(ctx, annsCard)
	fmt.Println(verdict.Verdict, err)
	fmt.Println("unlocked:", (<-moved).On)

	verdict, err = reader.Scan(ctx, []byte{1, 2, 3, 4}) // an unknown card
	fmt.Println(verdict.Verdict, err)
	// Output:
	// granted <nil>
	// unlocked: true
	// denied <nil>
}

// home is a gateway with one door, and the keys of its reader and its lock.
type home struct {
	addr         string
	reader, lock keys.Key
	close        func()
}

func openHome() (home, error) {
	ctx, cancel := context.WithCancel(context.Background())
	st, err := store.Open(ctx, store.Options{InMemory: true})
	if err != nil {
		cancel()
		return home{}, err
	}

	// One door with its reader and its lock, and a person with a card who may open it.
	plan := house.Plan{Card: st.CredentialID, At: time.Now()}
	door := plan.Door("front-door", time.Second)
	_, reader := plan.Device("front-reader", keys.KindReader, door)
	_, lock := plan.Device("front-lock", keys.KindLock, door)
	plan.Allow(access.SubjectPerson, plan.Person("ann", annsCard), door, "")
	_, err = st.Apply(ctx, "example", plan.Take()...)

	var g *gateway.Gateway
	if err == nil {
		g, err = gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC})
	}
	if err != nil {
		cancel()
		return home{}, errors.Join(err, st.Close())
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = g.Run(ctx) }()
	return home{addr: g.Addr().String(), reader: reader, lock: lock, close: func() {
		cancel()
		<-ended
		_ = st.Close()
	}}, nil
}
