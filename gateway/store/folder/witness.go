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

// Witness is what site.head says: an event that the database must have. Without it the loss of the
// newest file of db/ could not be told from a store in which less has happened. It is written
// beside the batches, a while after them, so it is never ahead of what is durable.
type Witness struct {
	Seq  uint64
	Hash [32]byte
	Open bool // the store was open, and so there is a .mem file; else nothing came after that event
}

const headPrefix = "latchkey-site-head-1 "

// Text is the content of site.head.
func (w Witness) Text(k seal.Keys) []byte {
	state := "closed"
	if w.Open {
		state = "open"
	}
	line := fmt.Sprintf("%s%s %d %x", headPrefix, state, w.Seq, w.Hash)
	return []byte(line + " " + k.SignHead(line) + "\n")
}

// ReadWitness returns nil where there is none: a store of an older version has none.
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
