package store

import (
	"bytes"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Every plaintext is one version byte and deterministic CBOR (RFC 8949 §4.2) of one xxxRecord. Domain types are never marshalled.

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

func encode(version byte, rec any) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(128)
	b.WriteByte(version)
	if err := encMode.MarshalToBuffer(rec, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decode reads a plaintext of version 1, the only one so far. A second version gets its own xxxRecord and a case here or at the caller.
func decode[R any](plain []byte) (rec R, err error) {
	if len(plain) == 0 {
		return rec, fmt.Errorf("empty: %w", ErrCorrupt)
	}
	if plain[0] != 1 {
		return rec, fmt.Errorf("record version %d: %w", plain[0], ErrFormat)
	}
	if err := decMode.Unmarshal(plain[1:], &rec); err != nil {
		return rec, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return rec, nil
}

// stamp is an instant, to the nanosecond and without bounds that matter. nil is the zero time.
type stamp struct {
	_    struct{} `cbor:",toarray"`
	Sec  int64
	Nsec uint32
}

func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return &stamp{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

func (s *stamp) time() time.Time {
	if s == nil {
		return time.Time{}
	}
	return time.Unix(s.Sec, int64(s.Nsec)).UTC()
}
