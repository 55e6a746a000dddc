//go:build long

package store

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestLongDamage damages every file of every shape in every way that damages lists, each on a copy of its own.
func TestLongDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 2))
	total, refused := 0, 0
	for _, sh := range shapes(t, 7, 715) {
		for _, d := range damages(t, sh.opts.Dir, r) {
			t.Run(sh.name+"/"+strings.ReplaceAll(d.name, "/", " "), func(t *testing.T) {
				total++
				if text := d.holds(t, sh); text != "" {
					refused++
					t.Log(text)
				} else {
					t.Log("opened, with its contents")
				}
			})
		}
	}
	t.Logf("%d damages: %d refused, %d opened with their contents", total, refused, total-refused)
}

// TestLongEIO is 60 runs in which every sync fails from the n-th on, and 40 in which only those of MANIFEST and folders do.
func TestLongEIO(t *testing.T) {
	var numbers []int
	for n := range 20 {
		numbers = append(numbers, n+1)
	}
	failSyncs(t, eios[0], numbers, 3)
	failSyncs(t, eios[1], numbers, 1)
	failSyncs(t, eios[2], numbers, 1)
}

// TestLongCreationCut cuts a creation at each of the first calls of each kind.
func TestLongCreationCut(t *testing.T) {
	cutCreation(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20})
}
