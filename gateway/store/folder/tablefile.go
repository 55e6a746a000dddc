package folder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// tableFile is one of Badger's tables (.sst), read without Badger, which panics at a damaged one:
//
//	blocks | index (flatbuffer) | its size (4) | its checksum (protobuf) | the size of that (4)
//	block = entries | offset of each (4, little-endian) | their number (4) | checksum (protobuf)
//	        | the size of that (4)
//	entry = size of the prefix shared with the block's first key (2, little-endian)
//	        | size of the rest (2) | rest of the key | value
//
// A key ends in the bits of its version, inverted (8). A value is meta (1), user meta (1), expiry
// (varint), and the bytes.
type tableFile struct {
	r       io.ReaderAt
	index   *fb.TableIndex
	offsets []int64 // of the blocks, and of the index behind them
	bounds  [2]string
}

// entry is one version of one record.
type entry struct {
	key     string
	version uint64
	meta    byte
	value   []byte
}

var errTable = errors.New("is not a whole table")

// openTable reads and checks the index of a table, and its first and last key.
func openTable(r io.ReaderAt, size int64) (*tableFile, error) {
	data, at, err := checkedTail(r, size)
	if err != nil {
		return nil, err
	}
	if at < 4 {
		return nil, errTable
	}
	tail := make([]byte, 4)
	if err := readAt(r, tail, at-4); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(tail))
	start := at - 4 - length
	if start < 0 || length < 8 { // zeros match their checksum
		return nil, errTable
	}
	index := make([]byte, length)
	if err := readAt(r, index, start); err != nil {
		return nil, err
	}
	if !matches(index, data) {
		return nil, errors.New("its index does not match its checksum")
	}
	t := &tableFile{r: r, index: fb.GetRootAsTableIndex(index, 0)}
	next := int64(0)
	for i := range t.index.OffsetsLength() {
		var o fb.BlockOffset
		if !t.index.Offsets(&o, i) || int64(o.Offset()) != next {
			return nil, errTable
		}
		t.offsets = append(t.offsets, next)
		next += int64(o.Len())
	}
	if len(t.offsets) == 0 || next != start {
		return nil, errTable
	}
	t.offsets = append(t.offsets, start)
	first, err := t.block(0)
	if err != nil {
		return nil, err
	}
	last, err := t.block(len(t.offsets) - 2)
	if err != nil {
		return nil, err
	}
	t.bounds = [2]string{first[0].key, last[len(last)-1].key}
	return t, nil
}

// checkedTail returns the checksum that ends at offset size, and the offset where it begins.
func checkedTail(r io.ReaderAt, size int64) (*pb.Checksum, int64, error) {
	if size < 4 {
		return nil, 0, errTable
	}
	tail := make([]byte, 4)
	if err := readAt(r, tail, size-4); err != nil {
		return nil, 0, err
	}
	n := int64(binary.BigEndian.Uint32(tail))
	if n > 64 || n > size-4 {
		return nil, 0, errTable
	}
	b := make([]byte, n)
	if err := readAt(r, b, size-4-n); err != nil {
		return nil, 0, err
	}
	var sum pb.Checksum
	if proto.Unmarshal(b, &sum) != nil || sum.Algo != pb.Checksum_CRC32C {
		return nil, 0, errTable
	}
	return &sum, size - 4 - n, nil
}

func matches(b []byte, sum *pb.Checksum) bool {
	return uint64(crc32.Checksum(b, castagnoli)) == sum.Sum
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	_, err := r.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return errTable
	}
	return err
}

// check reads every block and calls f, if it is not nil, with every entry.
func (t *tableFile) check(f func(entry)) error {
	for i := range len(t.offsets) - 1 {
		entries, err := t.block(i)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		for _, e := range entries {
			f(e)
		}
	}
	return nil
}

// block reads and checks one block.
func (t *tableFile) block(i int) ([]entry, error) {
	bad := fmt.Errorf("its block %d of %d does not match its checksum", i+1, len(t.offsets)-1)
	b := make([]byte, t.offsets[i+1]-t.offsets[i])
	if err := readAt(t.r, b, t.offsets[i]); err != nil {
		return nil, err
	}
	if len(b) < 8 {
		return nil, bad
	}
	n := int64(binary.BigEndian.Uint32(b[len(b)-4:]))
	if n > 64 || n > int64(len(b)-8) {
		return nil, bad
	}
	var sum pb.Checksum
	body := b[:int64(len(b))-4-n]
	if proto.Unmarshal(b[len(body):len(b)-4], &sum) != nil || sum.Algo != pb.Checksum_CRC32C ||
		!matches(body, &sum) {
		return nil, bad
	}
	entries, ok := blockEntries(body)
	if !ok || len(entries) == 0 {
		return nil, bad
	}
	return entries, nil
}

// blockEntries parses a block without its checksum.
func blockEntries(body []byte) (out []entry, ok bool) {
	count := int64(binary.BigEndian.Uint32(body[len(body)-4:]))
	end := int64(len(body)) - 4 - 4*count
	if end < 0 {
		return nil, false
	}
	var base []byte
	for i := range count {
		from, to := int64(binary.LittleEndian.Uint32(body[end+4*i:])), end
		if i+1 < count {
			to = int64(binary.LittleEndian.Uint32(body[end+4*(i+1):]))
		}
		if from < 0 || from+4 > to || to > end {
			return nil, false
		}
		e := body[from:to]
		shared, rest := int(binary.LittleEndian.Uint16(e)), int(binary.LittleEndian.Uint16(e[2:]))
		if shared > len(base) || 4+rest > len(e) {
			return nil, false
		}
		key := append(append([]byte(nil), base[:shared]...), e[4:4+rest]...)
		if i == 0 {
			base = key
		}
		value := e[4+rest:]
		if len(key) < 8 || len(value) < 3 {
			return nil, false
		}
		_, size := binary.Uvarint(value[2:])
		if size <= 0 {
			return nil, false
		}
		out = append(out, entry{string(key[:len(key)-8]), ^binary.BigEndian.Uint64(key[len(key)-8:]),
			value[0], value[2+size:]})
	}
	return out, true
}
