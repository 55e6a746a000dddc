package folder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// castagnoli is the table of the checksum that Badger uses everywhere.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// manifest is Badger's MANIFEST: the sets of changes to the tables, in the order in which they were
// made. Each set applies as a whole.
type manifest struct {
	sets []changeSet
	size int // length of all whole sets; a part of one more may follow
}

type changeSet struct {
	changes []*pb.ManifestChange
	end     int // offset behind it
}

// manifestHead is Badger's magic, our external magic 0, and Badger's version.
var manifestHead = []byte{'B', 'd', 'g', 'r', 0, 0, 0, 8}

// parseManifest reads a MANIFEST. A part of a set at its end is not an error: a crash leaves it,
// and Badger cuts it off.
func parseManifest(b []byte) (manifest, error) {
	m := manifest{size: len(manifestHead)}
	if len(b) < len(manifestHead) || string(b[:len(manifestHead)]) != string(manifestHead) {
		return m, errors.New("does not begin as a MANIFEST does")
	}
	for {
		n := setSize(b[m.size:])
		if n == 0 {
			break
		}
		body := b[m.size+8 : m.size+n]
		var set pb.ManifestChangeSet
		if err := proto.Unmarshal(body, &set); err != nil {
			return m, fmt.Errorf("the change set at byte %d cannot be read", m.size)
		}
		m.size += n
		m.sets = append(m.sets, changeSet{set.Changes, m.size})
	}
	rest := b[m.size:]
	if len(rest) < 8 {
		return m, nil
	}
	bad := fmt.Errorf("the change set at byte %d does not match its checksum", m.size)
	length := int64(binary.BigEndian.Uint32(rest))
	if length <= int64(len(rest)-8) || crc32.Checksum(rest[8:],
		castagnoli) == binary.BigEndian.Uint32(rest[4:]) {
		return m, bad // the set is complete, so its checksum must match
	}
	for i := 1; i+8 < len(rest); i++ {
		if setSize(rest[i:]) > 8 {
			return m, bad // a crash cuts off only the last set
		}
	}
	return m, nil
}

// setSize returns the size of the whole change set at the start of b, or 0 if there is none.
func setSize(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n > int64(len(b)-8) || crc32.Checksum(b[8:8+n], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return 0
	}
	return int(8 + n)
}

// levels returns the tables that exist after the first n change sets, and the level of each.
func (m *manifest) levels(n int) (map[uint64]uint32, error) {
	tables := make(map[uint64]uint32)
	for _, set := range m.sets[:n] {
		for _, c := range set.changes {
			_, there := tables[c.Id]
			switch {
			case c.Op == pb.ManifestChange_DELETE:
				delete(tables, c.Id)
			case c.Op != pb.ManifestChange_CREATE || there:
				return nil, fmt.Errorf("it makes table %06d twice", c.Id)
			case c.Level > 6 || c.KeyId != 0 || c.Compression != 0:
				return nil, fmt.Errorf("table %06d is not as the store writes one", c.Id)
			default:
				tables[c.Id] = c.Level
			}
		}
	}
	return tables, nil
}

// encodeManifest returns a MANIFEST of one change set that makes those tables.
func encodeManifest(tables map[uint64]uint32) ([]byte, error) {
	var set pb.ManifestChangeSet
	for _, id := range slices.Sorted(maps.Keys(tables)) {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE,
			Level: tables[id]})
	}
	body, err := proto.Marshal(&set)
	if err != nil {
		return nil, fmt.Errorf("store: MANIFEST: %w", err)
	}
	out := slices.Clone(manifestHead)
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(body, castagnoli))
	return append(out, body...), nil
}

// LastChange is the newest change set of a MANIFEST.
type LastChange struct {
	At      int64 // where it begins; 0 if it is the only one
	Made    int64 // how many tables it makes
	Deletes bool  // whether it deletes one
}

// ReadLastChange reads the newest change set of a MANIFEST. It returns the zero value if that is
// the only one: Badger has just rewritten MANIFEST, which it does after some 10,000 tables.
func ReadLastChange(f *os.File) (last LastChange, err error) {
	info, err := f.Stat()
	if err != nil {
		return last, err
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return last, err
	}
	const header, frame = 8, 8 // magic and versions; length and CRC of each set
	var body []byte
	for n := header; n+frame <= len(b); {
		size := int(binary.BigEndian.Uint32(b[n:]))
		if size > len(b)-n-frame {
			return LastChange{}, io.ErrUnexpectedEOF
		}
		last.At, body = int64(n), b[n+frame:n+frame+size]
		n += frame + size
	}
	if last.At <= header {
		return LastChange{}, nil
	}
	var set pb.ManifestChangeSet
	if err := proto.Unmarshal(body, &set); err != nil {
		return last, err
	}
	for _, c := range set.GetChanges() {
		switch c.Op {
		case pb.ManifestChange_CREATE:
			last.Made++
		case pb.ManifestChange_DELETE:
			last.Deletes = true
		}
	}
	return last, nil
}
