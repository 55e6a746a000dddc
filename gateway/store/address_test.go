package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

func mustAddresses(t *testing.T, s *Store) map[access.ID]netip.AddrPort {
	t.Helper()
	at, err := s.Addresses(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func mustPutAddresses(t *testing.T, s *Store, at map[access.ID]netip.AddrPort) {
	t.Helper()
	if left, err := s.PutAddresses(context.Background(), at); err != nil || left != 0 {
		t.Fatalf("put addresses: %d left, %v", left, err)
	}
}

func wantAddresses(t *testing.T, s *Store, rule string, want map[access.ID]netip.AddrPort) {
	t.Helper()
	if got := mustAddresses(t, s); !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", rule, got, want)
	}
}

func TestAddresses(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := buildHouse(t, o)
	a, b := netip.MustParseAddrPort("192.0.2.7:40001"), netip.MustParseAddrPort("[2001:db8::7]:40002")
	lock := id("front-lock")
	seq, _ := s.Head()
	mustPutAddresses(t, s, map[access.ID]netip.AddrPort{lock: a, id("nobody"): b})
	wantAddresses(t, s, "only those of known devices", map[access.ID]netip.AddrPort{lock: a})
	mustPutAddresses(t, s, map[access.ID]netip.AddrPort{lock: b})
	s = reopen(t, s)
	wantAddresses(t, s, "the last one is kept over a restart", map[access.ID]netip.AddrPort{lock: b})
	if after, _ := s.Head(); after != seq {
		t.Errorf("got event %d, want no event to be made", after)
	}
	mustApply(t, s, access.Change{Delete: access.Device{ID: lock}})
	wantAddresses(t, s, "it is removed with its device", map[access.ID]netip.AddrPort{})
	mustApply(t, s, putAll(access.Device{ID: lock, Name: "front-lock", Kind: keys.KindLock,
		Targets: []access.ID{id("front")}})...)
	wantAddresses(t, s, "it does not come back with its device", map[access.ID]netip.AddrPort{})
	s = reopen(t, s)
	wantAddresses(t, s, "it does not come back after a restart", map[access.ID]netip.AddrPort{})
	checkAndClose(t, s)
}

// Many addresses at once are one write of bounded size. Those that do not fit come with the next
// call.
func TestAddressesOfManyDevices(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	at := map[access.ID]netip.AddrPort{}
	for n := range 3 {
		var records []access.Record
		for i := range MaxChanges {
			d := access.Device{ID: access.NewID(), Name: fmt.Sprintf("lamp-%d-%d", n, i),
				Kind: keys.KindSensor}
			records = append(records, d)
			at[d.ID] = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(1+n*MaxChanges+i))
		}
		mustApply(t, s, putAll(records...)...)
	}
	for want := 2 * MaxChanges; want >= 0; want -= MaxChanges {
		left, err := s.PutAddresses(context.Background(), at)
		if err != nil || left != want {
			t.Fatalf("got %d left, %v, want %d", left, err, want)
		}
	}
	s = reopen(t, s)
	wantAddresses(t, s, "all of them", at)
	var gone []access.Change
	for device := range at {
		if gone = append(gone, access.Change{Delete: access.Device{ID: device}}); len(gone) == MaxChanges {
			mustApply(t, s, gone...)
			gone = nil
		}
	}
	wantAddresses(t, s, "those of removed devices are gone", map[access.ID]netip.AddrPort{})
	checkAndClose(t, s)
}

func TestAddressNeedsSpace(t *testing.T) {
	free := uint64(1 << 40)
	s := buildHouse(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) { return free, nil }})
	free = defaultMinFree - 1
	if _, err := s.PutAddresses(context.Background(),
		map[access.ID]netip.AddrPort{id("front-lock"): netip.MustParseAddrPort(
			"192.0.2.7:1")}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace, as an address is not worth the last space", err)
	}
}

// If an address was changed on disk, opening fails with an error that names it, as for any record.
// If one was removed, the gateway only needs more time to find the device.
func TestAddressTampered(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := buildHouse(t, o)
	lock := id("front-lock")
	mustPutAddresses(t, s, map[access.ID]netip.AddrPort{lock: netip.MustParseAddrPort("192.0.2.7:1")})
	checkAndClose(t, s)
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		return txn.Set([]byte(record.AddressKey(lock)), []byte{1, 2, 3})
	})
	if s, err := Open(context.Background(), o); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, %v, want ErrCorrupt", s, err)
	}
	editRaw(t, o.Dir, func(txn *badger.Txn) error { return txn.Delete([]byte(record.AddressKey(lock))) })
	s = mustOpen(t, o)
	wantAddresses(t, s, "removed", map[access.ID]netip.AddrPort{})
	checkAndClose(t, s)
}

// A caller that gives up does not read variables that the writer is still writing.
func TestPutAddressesGivenUp(t *testing.T) {
	s := mustOpen(t, Options{InMemory: true})
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if left, err := s.PutAddresses(ctx, map[access.ID]netip.AddrPort{}); err != nil && left != 0 {
			t.Fatalf("got %d left and %v, want none", left, err)
		}
	}
}
