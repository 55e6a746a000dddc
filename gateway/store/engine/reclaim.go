package engine

import (
	"fmt"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Badger drops a deleted record when a compaction reaches its older versions. Compactions run when
// new records need room in the upper levels, so after many deletes that may take for ever. Merging
// all tables into one level drops them at once, but writes all records anew.

// A reclaim must give back so many bytes, and so large a part of the tables.
const (
	leastGain = 16 << 20
	gainShare = 4
)

// Reclaim gives back the space of deleted records in tables if that is much. It calls rest now and
// then, and room to ask whether so many bytes are free for a while. It returns how many bytes the
// tables take less, and whether it must be called again, because the newest deletes are not in a
// table yet. It must not be called while the database is being closed.
func (d *DB) Reclaim(rest func() error, room func(bytes int64) bool) (gained int64, again bool, err error) {
	tables, newest := d.measureTables()
	if newest < d.deleted.Load() {
		return 0, true, nil
	}
	least := int64(leastGain)
	if d.cfg.Small {
		least /= 64
	}
	if tables < least { // they need not be read
		return 0, false, nil
	}
	live, err := d.measureLive(rest)
	if gain := tables - live; err != nil || gain < least || gain < tables/gainShare {
		return 0, false, err
	}
	if !room(live) {
		return 0, true, nil
	}
	if err := d.Flatten(1); err != nil {
		if strings.Contains(err.Error(), "Unable to fill tables") { // a flush came between
			return 0, true, nil
		}
		return 0, false, fmt.Errorf("store: reclaim space: %w", err) // and Badger has logged it
	}
	after, _ := d.measureTables()
	return tables - after, false, nil
}

// measureTables returns the bytes of all tables, and the newest version in them.
func (d *DB) measureTables() (bytes int64, newest uint64) {
	for _, t := range d.Tables() {
		bytes += int64(t.OnDiskSize)
		newest = max(newest, t.MaxVersion)
	}
	return bytes, newest
}

// measureLive returns about how many bytes the records take that are not deleted.
func (d *DB) measureLive(rest func() error) (bytes int64, err error) {
	err = d.ReadTxn(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			bytes += it.Item().EstimatedSize()
			if err := rest(); err != nil {
				return err
			}
		}
		return nil
	})
	return bytes, err
}
