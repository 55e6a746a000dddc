//go:build long

package protect

import "testing"

func TestMillionRecordsAsPion(t *testing.T) { compareRandom(t, 1_000_000) }
