package folder

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

// Witness is the content of site.head: an event that the database must have. Without it a store
// that has lost its newest file would look like a whole store with fewer events. It is written some
// time after the batches, so it is never ahead of what is durable.
type Witness struct {
	Seq  uint64
	Hash [32]byte
	Open bool // the store was open, so there must be a .mem file; else that event is the last
}

const headPrefix = "latchkey-site-head-1 "

// Text returns the content of site.head.
func (w Witness) Text(k seal.Keys) []byte {
	state := "closed"
	if w.Open {
		state = "open"
	}
	line := fmt.Sprintf("%s%s %d %x", headPrefix, state, w.Seq, w.Hash)
	return []byte(line + " " + k.SignHead(line) + "\n")
}

// ReadWitness reads site.head. It returns nil if there is none: a store of an older version has
// none.
func ReadWitness(path string, k seal.Keys) (*Witness, error) {
	name := filepath.Base(path)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, DescribeUnreadable(name, err)
	}
	var w Witness
	var state, hash string
	_, err = fmt.Sscanf(string(b), headPrefix+"%s %d %s", &state, &w.Seq, &hash)
	w.Open = state == "open"
	raw, herr := hex.DecodeString(hash)
	if err == nil && herr == nil && len(raw) == len(w.Hash) {
		w.Hash = [32]byte(raw)
	}
	if err != nil || !hmac.Equal(b, w.Text(k)) {
		return nil, &Damage{Name: name, What: "is not as it was written",
			Do: doPutBack + ", or remove it: the database is then taken as it is"}
	}
	return &w, nil
}
