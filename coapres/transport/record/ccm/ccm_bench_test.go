package ccm

import (
	"crypto/aes"
	"testing"

	pion "github.com/pion/dtls/v3/pkg/crypto/ccm"
)

// BenchmarkSeal and BenchmarkOpen measure a message of 60 bytes with 13 of additional data, as in a
// record of TLS_PSK_WITH_AES_128_CCM_8.
func BenchmarkSeal(b *testing.B) {
	block, _ := aes.NewCipher(make([]byte, 16))
	nonce, message, data := make([]byte, 12), make([]byte, 60), make([]byte, 13)
	out := make([]byte, 0, 100)
	b.Run("ours", func(b *testing.B) {
		m, s := must(New(block, 8, 12)), new(Scratch)
		b.ReportAllocs()
		for b.Loop() {
			m.Seal(out, nonce, message, data, s)
		}
	})
	b.Run("pion", func(b *testing.B) {
		m := must(pion.NewCCM(block, 8, 12))
		b.ReportAllocs()
		for b.Loop() {
			m.Seal(out, nonce, message, data)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	block, _ := aes.NewCipher(make([]byte, 16))
	nonce, data := make([]byte, 12), make([]byte, 13)
	m, s := must(New(block, 8, 12)), new(Scratch)
	sealed := m.Seal(nil, nonce, make([]byte, 60), data, s)
	out := make([]byte, 0, 100)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Open(out, nonce, sealed, data, s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pion", func(b *testing.B) {
		m := must(pion.NewCCM(block, 8, 12))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Open(out, nonce, sealed, data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
