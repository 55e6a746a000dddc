package backup

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"io"

	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// Names of what tests of this package need.
const (
	SiteKeyRecord = siteKey
	Magic         = magic
)

func init() { work = 12 } // scrypt takes most of the tests' time

// OpenPlain reads what age and gzip would have unpacked.
func OpenPlain(b []byte) (*Reader, error) {
	r := &Reader{file: &counted{}, sum: sha256.New(), under: bufio.NewReader(bytes.NewReader(nil)),
		in: bufio.NewReader(bytes.NewReader(b))}
	return r, r.readHeader()
}

// WritePlain writes records as they are before gzip and age.
func WritePlain(w io.Writer, h Header, k seal.Keys,
	each func(put func(record.Key, []byte) error) error) error {
	b, err := newPlainWriter(w, &h, k)
	if err != nil {
		return err
	}
	if err := each(b.Put); err != nil {
		return err
	}
	return b.end()
}

// OpenLayers opens age and gzip only.
func OpenLayers(src io.Reader, id Identity) (io.Reader, error) {
	r, err := open(src, id)
	if err != nil {
		return nil, err
	}
	return r.in, nil
}

// SignerOf returns the public key of a site.
func SignerOf(k seal.Keys) ed25519.PublicKey {
	var h Header
	h.setSigner(k)
	return h.Signer
}
