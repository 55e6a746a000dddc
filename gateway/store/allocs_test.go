//go:build !race

package store

import (
	"context"
	"testing"
)

// One admission at a time, in memory: the decision, its sealed event, and the batch that Badger
// writes. If you change the figure on purpose, put the new one here.
func TestGateAllocationsOfAnAdmission(t *testing.T) {
	const want = 33
	s := buildHouse(t, Options{})
	a := scan(s, 0)
	got := testing.AllocsPerRun(500, func() {
		a.Counter++
		if adm, err := s.Admit(context.Background(), a); err != nil || !adm.Decision.Granted {
			t.Fatalf("got %+v, %v, want granted", adm.Decision, err)
		}
	})
	if got != want {
		t.Errorf("got %v allocations, want %d", got, want)
	}
}
