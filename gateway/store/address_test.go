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
	s := built(t, o)
	a, b := netip.MustParseAddrPort("192.0.2.7:40001"), netip.MustParseAddrPort("[2001:db8::7]:40002")
	lock := id("front-lock")
	seq, _ := s.Head()
	mustPutAddresses(t, s, map[access.ID]netip.AddrPort{lock: a, id("nobody"): b})
	wantAddresses(t, s, "only of devices that there are", map[access.ID]netip.AddrPort{lock: a})
	mustPutAddresses(t, s, map[access.ID]netip.AddrPort{lock: b})
	s = reopened(t, s)
	wantAddresses(t, s, "the last one, after a restart", map[access.ID]netip.AddrPort{lock: b})
	if after, _ := s.Head(); after != seq {
		t.Errorf("got event %d, want no event to be made", after)
	}
	mustApply(t, s, access.Change{Delete: access.Device{ID: lock}})
	wantAddresses(t, s, "it goes with its device", map[access.ID]netip.AddrPort{})
	mustApply(t, s, puts(access.Device{ID: lock, Name: "front-lock", Kind: keys.KindLock, Targets: []access.ID{id("front")}})...)
	wantAddresses(t, s, "and does not come back with it", map[access.ID]netip.AddrPort{})
	s = reopened(t, s)
	wantAddresses(t, s, "nor after a restart", map[access.ID]netip.AddrPort{})
	closeChecked(t, s)
}

// Many at once are one write of a bounded size; what has no place in it comes with the next.
func TestAddressesOfManyDevices(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	at := map[access.ID]netip.AddrPort{}
	for n := range 3 {
		var records []access.Record
		for i := range MaxChanges {
			d := access.Device{ID: access.NewID(), Name: fmt.Sprintf("lamp-%d-%d", n, i), Kind: keys.KindSensor}
			records = append(records, d)
			at[d.ID] = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(1+n*MaxChanges+i))
		}
		mustApply(t, s, puts(records...)...)
	}
	for want := 2 * MaxChanges; want >= 0; want -= MaxChanges {
		left, err := s.PutAddresses(context.Background(), at)
		if err != nil || left != want {
			t.Fatalf("got %d left, %v, want %d", left, err, want)
		}
	}
	s = reopened(t, s)
	wantAddresses(t, s, "all of them", at)
	var gone []access.Change
	for device := range at {
		if gone = append(gone, access.Change{Delete: access.Device{ID: device}}); len(gone) == MaxChanges {
			mustApply(t, s, gone...)
			gone = nil
		}
	}
	wantAddresses(t, s, "none of devices that are gone", map[access.ID]netip.AddrPort{})
	closeChecked(t, s)
}

func TestAddressNeedsSpace(t *testing.T) {
	free := uint64(1 << 40)
	s := built(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) { return free, nil }})
	free = defaultMinFree - 1
	if _, err := s.PutAddresses(context.Background(), map[access.ID]netip.AddrPort{id("front-lock"): netip.MustParseAddrPort("192.0.2.7:1")}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace: nothing depends on it", err)
	}
}

// An address that was changed on disk is an error by name, as any record; one that was removed only
// costs time.
func TestAddressTampered(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := built(t, o)
	lock := id("front-lock")
	mustPutAddresses(t, s, map[access.ID]netip.AddrPort{lock: netip.MustParseAddrPort("192.0.2.7:1")})
	closeChecked(t, s)
	raw(t, o.Dir, func(txn *badger.Txn) error { return txn.Set([]byte(record.AddressKey(lock)), []byte{1, 2, 3}) })
	if s, err := Open(context.Background(), o); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, %v, want ErrCorrupt", s, err)
	}
	raw(t, o.Dir, func(txn *badger.Txn) error { return txn.Delete([]byte(record.AddressKey(lock))) })
	s = mustOpen(t, o)
	wantAddresses(t, s, "removed", map[access.ID]netip.AddrPort{})
	closeChecked(t, s)
}

// A caller that gives up does not look at what the writer is still writing.
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
