package record

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Cut is the statement of the events that were removed because they were old: all from the first to
// Seq. The chain goes on from it. The zero Cut says that none was removed.
type Cut struct {
	Seq    uint64    // newest event that was removed
	Hash   keys.Hash // of that event
	At     time.Time // when it was removed
	Days   int       // how long events were kept then
	Newest time.Time // the latest time of a removed event whose clock was right, as far as can be told

	// What else the present state depends on.

	Latest   time.Time // latest time of the removed events after Site.TimeTrusted; zero for none
	PolicyAt uint64    // newest policy event among those that the head has named; 0: none
	Policy   keys.Hash // the policy digest in that event
}

// cutRecord is the form of a [Cut].
type cutRecord struct {
	Seq       uint64 `cbor:"1,keyasint"`
	Hash      []byte `cbor:"2,keyasint"`
	At        *Stamp `cbor:"3,keyasint"`
	Days      uint16 `cbor:"4,keyasint"`
	Newest    *Stamp `cbor:"5,keyasint,omitempty"`
	Latest    *Stamp `cbor:"6,keyasint,omitempty"`
	PolicyAt  uint64 `cbor:"7,keyasint,omitempty"`
	Policy    []byte `cbor:"8,keyasint,omitempty"`
	Signature []byte `cbor:"9,keyasint,omitempty"`
}

const cutLabel = "latchkey cut 1\x00"

// Encode returns the plaintext of the statement, signed.
func (c *Cut) Encode(key ed25519.PrivateKey) ([]byte, error) {
	r := cutRecord{Seq: c.Seq, Hash: c.Hash[:], At: MakeStamp(c.At), Days: uint16(c.Days),
		Newest: MakeStamp(c.Newest), Latest: MakeStamp(c.Latest), PolicyAt: c.PolicyAt}
	if c.PolicyAt != 0 {
		r.Policy = c.Policy[:]
	}
	body, err := Encode(1, r)
	if err != nil {
		return nil, err
	}
	r.Signature = ed25519.Sign(key, append([]byte(cutLabel), body...))
	return Encode(1, r)
}

// DecodeCut reads the plaintext of a statement that the site with that key has signed.
func DecodeCut(plain []byte, key ed25519.PublicKey) (Cut, error) {
	r, err := Decode[cutRecord](plain)
	if err != nil {
		return Cut{}, err
	}
	c := Cut{Seq: r.Seq, At: r.At.Time(), Days: int(r.Days), Newest: r.Newest.Time(), Latest: r.Latest.Time(),
		PolicyAt: r.PolicyAt}
	if len(r.Hash) != len(c.Hash) || c.Seq == 0 {
		return Cut{}, fmt.Errorf("hash length: %w", seal.ErrCorrupt)
	}
	copy(c.Hash[:], r.Hash)
	if err := digestInto((*[32]byte)(&c.Policy), r.Policy); err != nil {
		return Cut{}, err
	}
	signature := r.Signature
	r.Signature = nil
	body, err := Encode(1, r)
	if err != nil {
		return Cut{}, err
	}
	if !ed25519.Verify(key, append([]byte(cutLabel), body...), signature) {
		return Cut{}, fmt.Errorf("not signed by this site: %w", seal.ErrCorrupt)
	}
	return c, nil
}
