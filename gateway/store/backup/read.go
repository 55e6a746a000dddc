package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"

	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// Reader reads one backup from its beginning to its end. It keeps one record.
type Reader struct {
	Header Header

	file  *counted
	under *bufio.Reader // what age has opened
	in    *bufio.Reader // what gzip has unpacked
	sum   hash.Hash     // over what was read; without the trailer's hash and signature
	last  record.Key
	count uint64
	room  []byte

	keys  *seal.Keys // from the site key; nil before it, and in Events
	ended bool
}

// counted counts what was read of the file.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// Open begins to read a backup. It reads the header, which nothing proves yet. src may be anything
// that a stranger has written.
func Open(src io.Reader, ids ...Identity) (*Reader, error) {
	r, err := open(src, ids...)
	if err != nil {
		return nil, err
	}
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	return r, nil
}

// open opens the layers around a backup.
func open(src io.Reader, ids ...Identity) (*Reader, error) {
	r := &Reader{file: &counted{r: src}, sum: sha256.New()}
	plain, err := age.Decrypt(r.file, ids...)
	if err != nil {
		return nil, r.explainOpening(err)
	}
	r.under = bufio.NewReaderSize(plain, 32<<10)
	gz, err := gzip.NewReader(r.under)
	if err != nil {
		return nil, r.explain(err)
	}
	gz.Multistream(false)
	r.in = bufio.NewReaderSize(gz, 32<<10)
	return r, nil
}

// explainOpening says why age does not open a file.
func (r *Reader) explainOpening(err error) error {
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		if len(none.StanzaTypes) == 1 && none.StanzaTypes[0] == "scrypt" {
			return fmt.Errorf("%w: it takes a passphrase, and another one if you gave one", ErrIdentity)
		}
		return fmt.Errorf("%w: it was made for other recipients: give the identity of one of those", ErrIdentity)
	}
	if r.file.n == 0 {
		return fmt.Errorf("%w (it is empty)", ErrDamaged)
	}
	return fmt.Errorf("%w (it does not begin as a file of age)", ErrDamaged)
}

// explain turns what a library says about bad bytes into a sentence.
func (r *Reader) explain(err error) error {
	var known bool
	for _, e := range []error{ErrDamaged, ErrNewer, ErrSigner} {
		known = known || errors.Is(err, e)
	}
	if known {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (it ends too early, after %d bytes)", ErrDamaged, r.file.n)
	}
	return fmt.Errorf("%w (bad bytes before byte %d)", ErrDamaged, r.file.n)
}

// read fills b and adds it to the sum.
func (r *Reader) read(b []byte) error {
	if _, err := io.ReadFull(r.in, b); err != nil {
		return r.explain(err)
	}
	r.sum.Write(b)
	return nil
}

func (r *Reader) readHeader() error {
	// A file that was opened but is none of ours, or a later one, has another beginning. That says
	// more than the length that would come then.
	begin, err := r.in.Peek(len(magic))
	if err != nil && len(begin) == 0 {
		return r.explain(err)
	}
	switch {
	case string(begin) == magic:
	case bytes.HasPrefix(begin, []byte(magicStem)):
		return ErrNewer
	default:
		return fmt.Errorf("%w (it is a file of age, but not a backup of latchkey)", ErrDamaged)
	}
	head := make([]byte, len(magic)+2)
	if err := r.read(head); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[len(magic):]))
	if size > maxHeader {
		return fmt.Errorf("%w (its header claims %d bytes)", ErrDamaged, size)
	}
	plain := make([]byte, size)
	if err := r.read(plain); err != nil {
		return err
	}
	h, err := decodeHeader(plain)
	if err != nil {
		return err
	}
	r.Header = *h
	return nil
}

// Next returns the next record: its Badger key and its plaintext, which is valid until the next
// call. The site key is not among them, see [Reader.SiteKey]. After the last record Next checks the
// trailer and returns io.EOF. Only then, and if nobody but the site can have signed it, does
// anything count that was read before.
func (r *Reader) Next() (record.Key, []byte, error) {
	for !r.ended {
		key, plain, err := r.next()
		if err != nil {
			return "", nil, err
		}
		switch {
		case key == "":
			r.ended = true
		case key == siteKey:
			if err := r.takeSiteKey(plain); err != nil {
				return "", nil, err
			}
		case r.keys == nil && r.Header.Kind != Events: // it comes first
			return "", nil, fmt.Errorf("%w (it has no site key)", ErrDamaged)
		default:
			return key, plain, nil
		}
	}
	return "", nil, io.EOF
}

// next returns the next record, or "" after the trailer.
func (r *Reader) next() (record.Key, []byte, error) {
	var size [4]byte
	if err := r.read(size[:2]); err != nil {
		return "", nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:2]))
	if n == 0 {
		return "", nil, r.readTrailer()
	}
	if n > maxKey {
		return "", nil, fmt.Errorf("%w (record %d claims a key of %d bytes)", ErrDamaged, r.count+1, n)
	}
	var name [maxKey]byte
	if err := r.read(name[:n]); err != nil {
		return "", nil, err
	}
	key := record.Key(name[:n])
	if !follows(r.last, key) {
		return "", nil, fmt.Errorf("%w (%v after %v)", ErrDamaged, key, r.last)
	}
	if err := r.read(size[:]); err != nil {
		return "", nil, err
	}
	length := binary.BigEndian.Uint32(size[:])
	if length == 0 || length > uint32(maxPlain(key)) {
		return "", nil, fmt.Errorf("%w (%v claims %d bytes)", ErrDamaged, key, length)
	}
	if err := r.readPlain(int(length)); err != nil {
		return "", nil, err
	}
	if key != siteKey && !r.Header.Kind.Has(key.Kind()) || key == siteKey && r.Header.Kind == Events {
		return "", nil, fmt.Errorf("%w (%v is in a backup of the kind %s)", ErrNewer, key, r.Header.Kind)
	}
	r.last = key
	r.count++
	return key, r.room, nil
}

// readPlain reads a plaintext into the reader's memory, which grows as bytes come and not because a
// file claims a length.
func (r *Reader) readPlain(n int) error {
	const step = 64 << 10
	r.room = r.room[:0]
	for len(r.room) < n {
		at, more := len(r.room), min(step, n-len(r.room))
		r.room = append(r.room, make([]byte, more)...)
		if err := r.read(r.room[at:]); err != nil {
			return err
		}
	}
	return nil
}

// takeSiteKey checks that the site key in the backup belongs to the header.
func (r *Reader) takeSiteKey(plain []byte) error {
	k, err := seal.ParseSiteKey(string(plain))
	if err != nil {
		return fmt.Errorf("%w (its site key cannot be read)", ErrDamaged)
	}
	derived := k.DeriveKeys()
	if derived.SiteID != string(r.Header.Site) || !derived.SigningPublic().Equal(r.Header.Signer) {
		return fmt.Errorf("%w (the site key in it belongs to another site than its header says)", ErrSigner)
	}
	r.keys = &derived
	return nil
}

// SiteKey returns the site key, and false before it was read and in a backup without one.
func (r *Reader) SiteKey() (seal.SiteKey, bool) {
	if r.keys == nil {
		return seal.SiteKey{}, false
	}
	return r.keys.Site, true
}

// readTrailer checks that all was read as it was written, and that nothing follows.
func (r *Reader) readTrailer() error {
	var count [8]byte
	if err := r.read(count[:]); err != nil {
		return err
	}
	sum := r.sum.Sum(nil)
	end := make([]byte, sha256.Size+ed25519.SignatureSize)
	if err := r.read(end); err != nil {
		return err
	}
	switch n := binary.BigEndian.Uint64(count[:]); {
	case !bytes.Equal(end[:sha256.Size], sum):
		return fmt.Errorf("%w (its checksum is wrong)", ErrDamaged)
	case n != r.count:
		return fmt.Errorf("%w (it has %d records and claims %d)", ErrDamaged, r.count, n)
	case !ed25519.Verify(r.Header.Signer, append([]byte(signLabel), sum...), end[sha256.Size:]):
		return fmt.Errorf("%w (its signature is not by the key in its header)", ErrSigner)
	}
	if _, err := r.in.ReadByte(); err == nil {
		return fmt.Errorf("%w (something follows its end)", ErrDamaged)
	} else if err != io.EOF {
		return r.explain(err)
	}
	// Only age's own end shows that the file was not cut.
	if _, err := r.under.ReadByte(); err == nil {
		return fmt.Errorf("%w (something follows its end)", ErrDamaged)
	} else if err != io.EOF {
		return r.explain(err)
	}
	return nil
}
