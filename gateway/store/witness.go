package store

import (
	"time"

	"latchkey/gateway/store/folder"
)

// witnessEvery is how far the database may be ahead of site.head while events come.
const witnessEvery = 10 * time.Second

// keepWitness writes site.head until the store closes. If that fails, only site.head is out of
// date.
func (s *Store) keepWitness() {
	defer close(s.witnessed)
	var last folder.Witness
	wait := time.NewTimer(s.opts.witness / 10) // a short command has ended by then
	defer wait.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-wait.C:
		}
		wait.Reset(s.opts.witness)
		w := folder.Witness{Open: true}
		if w.Seq, w.Hash = s.Head(); w == last || s.Failed() != nil {
			continue
		}
		if err := s.ballast.Replace(s.opts.files().Head, w.Text(s.keys)); err != nil {
			s.log.Warn("site.head not written", "err", err)
			continue
		}
		last = w
	}
}

// writeLastWitness writes site.head after the last event, before Badger closes and deletes the .mem
// file: a site.head that asks for that file would have the store refused. After a failure the last
// event is the last one that is known to be durable.
func (s *Store) writeLastWitness() error {
	if s.opts.InMemory {
		return nil
	}
	w := folder.Witness{}
	w.Seq, w.Hash = s.Head()
	before, err := folder.ReadWitness(s.opts.files().Head, s.keys)
	if err == nil && before != nil && *before == w {
		return nil
	}
	failed := s.ballast.Replace(s.opts.files().Head, w.Text(s.keys))
	if failed != nil && err == nil && (before == nil || !before.Open) {
		s.log.Warn("site.head not written", "err", failed) // it is only out of date
		return nil
	}
	return failed
}
