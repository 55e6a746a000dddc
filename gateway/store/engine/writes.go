package engine

import (
	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/store/seal"
)

// Writes collects what one commit writes. After the commit its memory may be used again: Badger has
// copied everything. The zero value is ready for use.
type Writes struct {
	entries []badger.Entry // without a Value: deletes
	memory  []byte         // of the keys and the sealed values
	large   bool           // a value goes to the value log, which must then be synced too
}

// keepMemory is how many bytes of memory are kept for the next commit, and keepEntries how many
// entries.
const (
	keepMemory  = 64 << 10
	keepEntries = 1024
)

// Reset empties w. It keeps its memory unless that is much.
func (w *Writes) Reset() {
	clear(w.entries)
	w.entries, w.memory, w.large = w.entries[:0], w.memory[:0], false
	if cap(w.memory) > keepMemory {
		w.memory = nil
	}
	if cap(w.entries) > keepEntries {
		w.entries = nil
	}
}

// Put seals a value under its key.
func (w *Writes) Put(s seal.Sealer, key string, plain []byte) {
	k := w.addKey(key)
	start := len(w.memory)
	w.memory = s.Append(w.memory, k, plain)
	value := w.memory[start:len(w.memory):len(w.memory)]
	w.entries = append(w.entries, badger.Entry{Key: k, Value: value})
	w.large = w.large || len(value) >= ValueThreshold
}

// Delete deletes a key.
func (w *Writes) Delete(key string) { w.entries = append(w.entries, badger.Entry{Key: w.addKey(key)}) }

func (w *Writes) addKey(key string) []byte {
	start := len(w.memory)
	w.memory = append(w.memory, key...)
	return w.memory[start:len(w.memory):len(w.memory)]
}
