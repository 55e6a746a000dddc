package store

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/seal"
)

// witness is what site.head says: an event that the database must have. Without it the loss of the newest file of db/ could not be told from a store in which
// less has happened. It is written beside the batches, a while after them, so it is never ahead of what is durable.
type witness struct {
	seq  uint64
	hash access.Hash
	open bool // the store was open, and so there is a .mem file; else nothing came after that event
}

const headPrefix = "latchkey-site-head-1 "

// witnessEvery is how long the database may be ahead of site.head while events come.
const witnessEvery = 10 * time.Second

func (w witness) text(k seal.Keys) []byte {
	state := "closed"
	if w.open {
		state = "open"
	}
	line := fmt.Sprintf("%s%s %d %v", headPrefix, state, w.seq, w.hash)
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
	if err != nil || w.hash.UnmarshalText([]byte(hash)) != nil || !hmac.Equal(b, w.text(k)) {
		return nil, &Damage{Name: name, What: "is not as it was written", Do: doPutBack + ", or remove it: the database is then taken as it is"}
	}
	return &w, nil
}

// holds tells whether a database has what the witness saw.
func (w *witness) holds(s *Store, txn *badger.Txn, h *head, mems int) error {
	const do = "put the whole data folder back from a copy; if db/ alone was put back, or an older latchkey has run on it since, remove site.head"
	if w.seq > h.seq {
		return &Damage{Name: "db/", What: fmt.Sprintf("ends at event %d, and site.head has seen event %d: a file with the newest records is missing, or db/ is an older copy",
			h.seq, w.seq), Do: do}
	}
	if w.open && mems == 0 {
		return &Damage{Name: "db/", What: "the newest " + memExt + " file is missing: the store was open when the program ended, and then there is one", Do: do}
	}
	c := chain{s: s, txn: txn}
	hash, err := c.hash(w.seq)
	if err == nil && hash != w.hash {
		return &Damage{Name: "db/", What: fmt.Sprintf("its event %d is not the one that site.head has seen: db/ is another store's, or an older copy that went on", w.seq), Do: do}
	}
	return err
}

// witnesses writes site.head until the store closes. A failure costs nothing but the witness.
func (s *Store) witnesses() {
	defer close(s.witnessed)
	var last witness
	wait := time.NewTimer(s.opts.witness / 10) // a command that looks something up is over by then
	defer wait.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-wait.C:
		}
		wait.Reset(s.opts.witness)
		w := witness{open: true}
		if w.seq, w.hash = s.Head(); w == last || s.Failed() != nil {
			continue
		}
		if err := s.replace(s.opts.files().head, w.text(s.keys)); err != nil {
			s.log.Warn("site.head not written", "err", err)
			continue
		}
		last = w
	}
}

// lastWitness is written when nothing more is, and before Badger closes: it deletes the .mem file then.
func (s *Store) lastWitness() error {
	if s.opts.InMemory || s.Failed() != nil {
		return nil
	}
	w := witness{}
	w.seq, w.hash = s.Head()
	if before, err := readWitness(s.opts.files().head, s.keys); err == nil && before != nil && *before == w {
		return nil
	}
	return s.replace(s.opts.files().head, w.text(s.keys))
}
