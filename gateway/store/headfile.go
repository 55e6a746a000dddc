package store

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/gateway/store/seal"
)

// witness is what site.head says: an event that the database must have. Without it the loss of the newest file of db/ could not be told from a store in which
// less has happened. It is written beside the batches, a while after them, so it is never ahead of what is durable.
type witness struct {
	seq  uint64
	hash [32]byte
	open bool // the store was open, and so there is a .mem file; else nothing came after that event
}

const headPrefix = "latchkey-site-head-1 "

// text is the content of site.head.
func (w witness) text(k seal.Keys) []byte {
	state := "closed"
	if w.open {
		state = "open"
	}
	line := fmt.Sprintf("%s%s %d %x", headPrefix, state, w.seq, w.hash)
	return []byte(line + " " + k.SignHead(line) + "\n")
}

// readWitness returns nil where there is none: a store of an older version has none.
func readWitness(path string, k seal.Keys) (*witness, error) {
	name := filepath.Base(path)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	var w witness
	var state, hash string
	_, err = fmt.Sscanf(string(b), headPrefix+"%s %d %s", &state, &w.seq, &hash)
	w.open = state == "open"
	raw, herr := hex.DecodeString(hash)
	if err == nil && herr == nil && len(raw) == len(w.hash) {
		w.hash = [32]byte(raw)
	}
	if err != nil || !hmac.Equal(b, w.text(k)) {
		return nil, &Damage{Name: name, What: "is not as it was written", Do: doPutBack + ", or remove it: the database is then taken as it is"}
	}
	return &w, nil
}
