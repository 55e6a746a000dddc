package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"testing"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// After a restart each node gets a hint at its last address, locks before lamps and lamps before
// readers. A device without a key that may be used gets none.
func TestEachNodeIsAsked(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	want := map[string]string{} // address by identity
	n := New(Config{Store: st, Log: slog.New(slog.DiscardHandler)})
	add := func(i int, kind keys.Kind, state keys.State) {
		name := fmt.Sprintf("%s-%d", kind, i)
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 40_000)
		d := access.Device{ID: access.NewID(), Name: name, Kind: kind}
		target := access.Target{ID: access.NewID(), Name: name, Kind: access.Door, Pulse: 3 * time.Second}
		if kind == keys.KindLamp {
			target.Kind, target.Pulse = access.Lamp, 0
		}
		d.Targets = []access.ID{target.ID}
		k := keys.Key{ID: keys.NewID(), Device: d.ID, State: state}
		if state.Usable() {
			k.Secret = keys.NewSecret()
			want[string(k.ID)] = at.String()
		}
		if _, err := st.Apply(t.Context(), "test", access.Change{Put: target}, access.Change{Put: d},
			access.Change{Put: k}); err != nil {
			t.Fatal(name, err)
		}
		n.addresses.note(d.ID, at)
	}
	for i := range 4 {
		add(10*i, keys.KindReader, keys.Active)
		add(10*i+1, keys.KindLamp, keys.Pending)
		add(10*i+2, keys.KindLock, keys.Active)
		add(10*i+3, keys.KindLock, keys.Revoked)
	}
	n.KeepAddresses(t.Context(), time.Now())

	n = New(n.Config) // another process
	got := map[string]string{}
	var kinds []keys.Kind
	n.AskNodes(t.Context(), func(_ context.Context, to []transport.LastSeen) {
		p := st.Snapshot()
		for _, s := range to {
			got[s.Identity] = s.Addr.String()
			kinds = append(kinds, p.Devices[p.Keys[keys.ID(s.Identity)].Device].Kind)
		}
	})
	if !maps.Equal(got, want) {
		t.Errorf("got %v asked, want %v", got, want)
	}
	for i, kind := range kinds {
		if w := []keys.Kind{keys.KindLock, keys.KindLamp, keys.KindReader}[i/4]; kind != w {
			t.Errorf("got a %s as number %d, want a %s", kind, i, w)
		}
	}
	if n.addresses.due(time.Now()) != nil {
		t.Error("what was read is to be written again")
	}
}
