package record

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"latchkey/keys"
)

// FuzzDecodeCut decodes statements. What decodes is encoded to the same bytes again.
func FuzzDecodeCut(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	at := time.Date(2026, 11, 30, 12, 0, 0, 5, time.UTC)
	for _, c := range []Cut{
		{Seq: 1, Hash: keys.Hash{1}, At: at, Days: 400},
		{Seq: 1 << 40, Hash: keys.Hash{2}, At: at, Days: 1, Newest: at, Latest: at, PolicyAt: 7, Policy: keys.Hash{3}},
	} {
		plain, err := c.Encode(key)
		if err != nil {
			f.Fatal(err)
		}
		if back, err := DecodeCut(plain, key.Public().(ed25519.PublicKey)); err != nil || back != c {
			f.Fatalf("got %+v, %v, want %+v", back, err, c)
		}
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		c, err := DecodeCut(plain, key.Public().(ed25519.PublicKey))
		if err != nil {
			return
		}
		if again, err := c.Encode(key); err != nil || !bytes.Equal(again, plain) {
			t.Errorf("got %x, %v, want %x", again, err, plain)
		}
	})
}
