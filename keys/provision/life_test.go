package provision

import (
	"testing"
	"time"

	"latchkey/keys"
)

func TestNew(t *testing.T) {
	before := time.Now().Add(-2 * time.Second)
	k := New("d1")
	if _, err := keys.ParseID(string(k.ID)); err != nil {
		t.Error(err)
	}
	if k.Device != "d1" || k.State != keys.Pending || k.Secret.IsZero() || !k.LastUsed.IsZero() {
		t.Errorf("got %v", k)
	}
	if k.Created.Before(before) || k.Created.After(time.Now()) || k.Created.Location() != time.UTC {
		t.Errorf("created: got %v", k.Created)
	}
	if other := New("d1"); other.ID == k.ID || other.Secret.Equal(k.Secret) {
		t.Error("two keys are the same")
	}
}

// applyChanges applies changes to keys, like a store.
func applyChanges(all []keys.Key, changed ...keys.Key) []keys.Key {
	out := append([]keys.Key{}, all...)
	for _, c := range changed {
		found := false
		for i := range out {
			if out[i].ID == c.ID {
				out[i], found = c, true
			}
		}
		if !found {
			out = append(out, c)
		}
	}
	return out
}

func listStates(all []keys.Key) (s []keys.State) {
	for _, k := range all {
		s = append(s, k.State)
	}
	return s
}

func TestMakeBeforeBreak(t *testing.T) {
	at := time.Date(2026, 3, 1, 23, 59, 0, 0, time.FixedZone("", -3600)) // 2 March in UTC
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	check := func(step string, all []keys.Key, want ...keys.State) {
		t.Helper()
		got := listStates(all)
		if len(got) != len(want) {
			t.Fatalf("%s: got %v, want %v", step, got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: got %v, want %v", step, got, want)
			}
		}
	}
	other := New("another")
	old := New("d1")
	all := []keys.Key{other, old}

	all = applyChanges(all, MarkUsed(old.ID, all, at)...)
	check("a first handshake makes it active", all, keys.Pending, keys.Active)
	if !all[1].LastUsed.Equal(day) {
		t.Errorf("last used: got %v, want %v", all[1].LastUsed, day)
	}
	if again := MarkUsed(old.ID, all, at); len(again) != 0 {
		t.Errorf("a second handshake on that day: got %d changes, want none", len(again))
	}
	if next := MarkUsed(old.ID, all, at.Add(24*time.Hour)); len(next) != 1 || next[0].State != keys.Active {
		t.Errorf("the next day: got %d changes, want 1", len(next))
	}
	if back := MarkUsed(old.ID, all, at.Add(-72*time.Hour)); len(back) != 0 {
		t.Errorf("a clock that was set back: got %d changes, want none", len(back))
	}

	fresh, changed := Rotate("d1", all)
	all = append(applyChanges(all, changed...), fresh)
	check("after a rotation the old key is still usable", all, keys.Pending, keys.Retiring, keys.Pending)
	if !all[1].Secret.Equal(old.Secret) {
		t.Error("the old secret was removed before the new one was used")
	}

	all = applyChanges(all, MarkUsed(old.ID, all, at.Add(24*time.Hour))...)
	check("a handshake with the old key changes nothing", all, keys.Pending, keys.Retiring, keys.Pending)

	all = applyChanges(all, MarkUsed(fresh.ID, all, at)...)
	check("the first handshake with the new key revokes the old one", all, keys.Pending, keys.Revoked,
		keys.Active)
	if !all[1].Secret.IsZero() {
		t.Error("a revoked key still has its secret")
	}
	if changed := MarkUsed(old.ID, all, at); len(changed) != 0 {
		t.Errorf("a revoked key is used: got %d changes, want none", len(changed))
	}
	if changed := MarkUsed("lk-nobody0000", all, at); len(changed) != 0 {
		t.Errorf("an unknown key is used: got %d changes, want none", len(changed))
	}
}

func TestRotateTwiceBeforeUse(t *testing.T) {
	first := New("d1")
	second, changed := Rotate("d1", []keys.Key{first})
	all := append(applyChanges([]keys.Key{first}, changed...), second)
	third, changed := Rotate("d1", all)
	all = append(applyChanges(all, changed...), third)
	all = applyChanges(all, MarkUsed(third.ID, all, time.Now())...)
	want := []keys.State{keys.Revoked, keys.Revoked, keys.Active}
	for i, got := range listStates(all) {
		if got != want[i] {
			t.Errorf("key %d: got %s, want %s", i, got, want[i])
		}
	}
}
