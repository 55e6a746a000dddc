package folder

import (
	"bytes"
	"testing"
)

func TestUsedSize(t *testing.T) {
	for size := range 3*len(zeros) + 2 {
		if got := UsedSize(make([]byte, size)); got != 0 {
			t.Fatalf("%d zeros: got %d used, want 0", size, got)
		}
	}
	const size = 20_000
	for _, used := range []int{1, 2, len(zeros) - 1, len(zeros), len(zeros) + 1, size - 2*len(zeros),
		size - len(zeros) - 1, size - len(zeros), size - len(zeros) + 1, size - 1, size} {
		for _, before := range []byte{0, 7} {
			b := append(bytes.Repeat([]byte{before}, used), make([]byte, size-used)...)
			b[used-1] = 1
			if got := UsedSize(b); got != used {
				t.Errorf("%d bytes and zeros: got %d used", used, got)
			}
		}
	}
}
