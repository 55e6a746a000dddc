package backup

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"filippo.io/age"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// Options says what goes into a backup, and for whom it is.
type Options struct {
	To      []Recipient
	Kind    Kind
	From    uint64 // of Events: the first event; the page that holds it goes in as a whole
	Made    time.Time
	Program string       // the version of this program
	Begin   func(Header) // called before the first byte is written; may be nil
	// Rest is called before each record. It limits the rate, and its error ends the backup. May be nil.
	Rest func(context.Context) error
}

// Source is a store of which nothing changes meanwhile.
type Source interface {
	Head() (record.Head, error)
	Epoch() (uint64, error)
	PageOf(seq uint64) uint64
	Export(ctx context.Context, has func(letter byte) bool, from uint64,
		f func(record.Key, []byte) error) error
}

// ErrNoEvents is the error of a backup of events that do not exist.
var ErrNoEvents = errors.New("there are no such events")

// Write writes a backup of a store whose site key has these keys.
func Write(ctx context.Context, w io.Writer, from Source, k seal.Keys, o Options) error {
	head, err := from.Head()
	if err != nil {
		return err
	}
	epoch, err := from.Epoch()
	if err != nil {
		return err
	}
	h := &Header{Epoch: epoch, Made: o.Made, Program: record.CleanText(o.Program), Kind: o.Kind, Head: head.Seq,
		HeadHash: head.Hash, Policy: head.Policy.Sum.Bytes(), PolicyCount: head.Policy.Count}
	if len(h.Program) > maxProgram {
		h.Program = record.CleanText(h.Program[:maxProgram-4])
	}
	if o.Kind == Events {
		if o.From == 0 || o.From > head.Seq {
			return fmt.Errorf("backup: %w: the newest is event %d", ErrNoEvents, head.Seq)
		}
		if o.From <= head.Cut {
			return fmt.Errorf("backup: %w: those before event %d were removed because they were old", ErrNoEvents,
				head.Cut+1)
		}
		h.From, h.To = from.PageOf(o.From), head.Seq
	}
	h.setSigner(k)
	if o.Begin != nil {
		o.Begin(*h)
	}
	b, err := NewWriter(w, h, k, o.To)
	if err != nil {
		return err
	}
	if o.Kind != Events {
		if err := b.Put(siteKey, []byte(k.Site.Text())); err != nil {
			return err
		}
	}
	err = from.Export(ctx, o.Kind.Has, h.From, func(key record.Key, plain []byte) error {
		if o.Rest != nil {
			if err := o.Rest(ctx); err != nil {
				return err
			}
		}
		return b.Put(key, plain)
	})
	if err != nil {
		return err
	}
	return b.Close()
}

// Writer writes one backup. It keeps some buffers and no record.
type Writer struct {
	age io.WriteCloser
	gz  *gzip.Writer
	*plainWriter
}

// plainWriter writes what is compressed and encrypted then.
type plainWriter struct {
	out    *bufio.Writer // to the next layer and to sum
	sum    hash.Hash
	signer ed25519.PrivateKey
	last   record.Key
	count  uint64
}

// setSigner fills in what follows from the keys of a site, and returns its signing key.
func (h *Header) setSigner(k seal.Keys) ed25519.PrivateKey {
	h.Site, h.Signer = access.ID(k.SiteID), k.SigningPublic()
	return k.Sign
}

// NewWriter begins a backup of the site whose keys these are. It fills in the header's Site and
// Signer.
func NewWriter(w io.Writer, h *Header, k seal.Keys, to []Recipient) (*Writer, error) {
	b := &Writer{}
	var err error
	if b.age, err = age.Encrypt(w, to...); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if b.gz, err = gzip.NewWriterLevel(b.age, gzip.BestSpeed); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	b.plainWriter, err = newPlainWriter(b.gz, h, k)
	return b, err
}

func newPlainWriter(w io.Writer, h *Header, k seal.Keys) (*plainWriter, error) {
	b := &plainWriter{sum: sha256.New(), signer: h.setSigner(k)}
	plain, err := h.encode()
	if err != nil {
		return nil, fmt.Errorf("backup: header: %w", err)
	}
	b.out = bufio.NewWriterSize(io.MultiWriter(w, b.sum), 32<<10)
	_, _ = b.out.WriteString(magic) // a bufio.Writer keeps its first error for Flush
	_, _ = b.out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(plain))))
	_, _ = b.out.Write(plain)
	return b, nil
}

// Put adds a record. Records come in the order of a backup: site key, format and head, then the
// others by their keys, and then the pages of events.
func (b *plainWriter) Put(key record.Key, plain []byte) error {
	switch most := maxPlain(key); {
	case len(key) == 0 || len(key) > maxKey || !follows(b.last, key):
		return fmt.Errorf("backup: %v after %v: out of order", key, b.last)
	case len(plain) == 0 || len(plain) > most:
		return fmt.Errorf("backup: %v has %d bytes: want 1 to %d", key, len(plain), most)
	}
	b.last = key
	b.count++
	var size [4]byte
	binary.BigEndian.PutUint16(size[:2], uint16(len(key)))
	_, _ = b.out.Write(size[:2])
	_, _ = b.out.WriteString(string(key))
	binary.BigEndian.PutUint32(size[:], uint32(len(plain)))
	_, _ = b.out.Write(size[:])
	if _, err := b.out.Write(plain); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// Close writes the trailer and ends the backup. Without it no reader accepts the file.
func (b *Writer) Close() error {
	if err := b.end(); err != nil {
		return err
	}
	if err := b.gz.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := b.age.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// end writes the trailer.
func (b *plainWriter) end() error {
	var end [10]byte
	binary.BigEndian.PutUint64(end[2:], b.count)
	_, _ = b.out.Write(end[:])
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	sum := b.sum.Sum(nil)
	_, _ = b.out.Write(sum)
	_, _ = b.out.Write(ed25519.Sign(b.signer, append([]byte(signLabel), sum...)))
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// maxPlain returns how many bytes the plaintext under a key may have.
func maxPlain(key record.Key) int {
	if key.Kind() == record.KindEvent {
		return maxPage
	}
	return record.MaxPlain
}
