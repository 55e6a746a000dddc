package record

import (
	"bytes"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"latchkey/gateway/store/seal"
)

// Every plaintext is one version byte and deterministic CBOR (RFC 8949 §4.2) of one xxxRecord.
// Domain types are never marshalled.

var (
	encMode = must(cbor.CoreDetEncOptions().UserBufferEncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements:  1 << 20,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// MaxPlain is the greatest length of a plaintext, and of all in one batch together.
const MaxPlain = 8 << 20

func Encode(version byte, rec any) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(192) // a head has some 170
	b.WriteByte(version)
	if err := encMode.MarshalToBuffer(rec, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Decode reads a plaintext of version 1.
func Decode[R any](plain []byte) (R, error) {
	rec, _, err := decodeUpTo[R](1, plain)
	return rec, err
}

// decodeUpTo reads a plaintext of any version up to newest. The caller fills in what an older
// version lacks.
func decodeUpTo[R any](newest byte, plain []byte) (rec R, version byte, err error) {
	if len(plain) == 0 {
		return rec, 0, fmt.Errorf("empty: %w", seal.ErrCorrupt)
	}
	if version = plain[0]; version == 0 || version > newest {
		return rec, version, fmt.Errorf("record version %d: %w", version, seal.ErrFormat)
	}
	if err := decMode.Unmarshal(plain[1:], &rec); err != nil {
		return rec, version, fmt.Errorf("%w: %w", seal.ErrCorrupt, err)
	}
	return rec, version, nil
}

// Stamp is an instant, to the nanosecond. It can hold any date. nil is the zero time.
type Stamp struct {
	_    struct{} `cbor:",toarray"`
	Sec  int64
	Nsec uint32
}

func MakeStamp(t time.Time) *Stamp {
	if t.IsZero() {
		return nil
	}
	return &Stamp{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

func (s *Stamp) Time() time.Time {
	if s == nil {
		return time.Time{}
	}
	return time.Unix(s.Sec, int64(s.Nsec)).UTC()
}
