package folder

import (
	"maps"
	"testing"
)

// A MANIFEST that is read and written again names the same tables, and no input makes the reader
// panic.
func FuzzParseManifest(f *testing.F) {
	for _, live := range []map[uint64]uint32{{}, {1: 0}, {1: 0, 2: 1, 7: 6}} {
		b, err := encodeManifest(live)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		live, err := m.levels(len(m.sets))
		if err != nil {
			return
		}
		anew, err := encodeManifest(live)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest(anew)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.levels(len(again.sets)); err != nil || !maps.Equal(got, live) {
			t.Errorf("got %v, %v, want %v", got, err, live)
		}
	})
}

// No input makes the reader of a log panic, and the end that it finds is within the log.
func FuzzParseLog(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Add(append(make([]byte, logHeadSize), metaTxn, 0, 9, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLog(b)
		if l == nil || l.End > len(b) {
			t.Errorf("got %v, %v of %d bytes", l, err, len(b))
		}
	})
}
