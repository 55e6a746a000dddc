package takeover

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/pion/dtls/v3"
)

const masterSize = 48 // of a master secret (RFC 5246 §8.1)

// exported has those fields of pion's exported state that we read. gob finds them by name: a field
// that pion renames would silently be zero here. [Check] finds that.
type exported struct {
	HandshakeComplete         bool
	LocalEpoch, RemoteEpoch   uint16
	LocalRandom, RemoteRandom [32]byte
	CipherSuiteID             uint16
	MasterSecret              []byte
	SequenceNumber            uint64
	IdentityHint              []byte
	LocalConnectionID         []byte
	RemoteConnectionID        []byte
	IsClient                  bool
}

// Check tells whether this build's pion still exports what Export reads: a state goes into pion and
// comes out again with every field as it was. It is meant for the start of the program.
var Check = sync.OnceValue(func() error { return check(new(dtls.State)) })

// state is a *dtls.State.
type state interface {
	UnmarshalBinary([]byte) error
	MarshalBinary() ([]byte, error)
}

func check(s state) error {
	const advice = "build with the version of github.com/pion/dtls/v3 that go.mod of this release names"
	want := exported{HandshakeComplete: true, LocalEpoch: 1, RemoteEpoch: 1, CipherSuiteID: 0xc0a8,
		MasterSecret: bytes.Repeat([]byte{1}, masterSize), SequenceNumber: 5, IdentityHint: []byte("identity"),
		LocalConnectionID: []byte("local"), RemoteConnectionID: []byte("remote"), IsClient: true,
		LocalRandom: [32]byte{2}, RemoteRandom: [32]byte{3}}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(want); err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	if err := s.UnmarshalBinary(b.Bytes()); err != nil {
		return fmt.Errorf("takeover: pion does not take the state that it exports any more: %w; %s", err, advice)
	}
	out, err := s.MarshalBinary()
	if err != nil {
		return fmt.Errorf("takeover: pion exports no state: %w; %s", err, advice)
	}
	got, err := new(decoder).decode(out)
	if err != nil {
		return fmt.Errorf("%w; %s", err, advice)
	}
	for i := range reflect.TypeFor[exported]().NumField() {
		a, b := reflect.ValueOf(got).Field(i), reflect.ValueOf(want).Field(i)
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			return fmt.Errorf("takeover: pion does not export %s any more; %s",
				reflect.TypeFor[exported]().Field(i).Name, advice)
		}
	}
	return nil
}

// states decodes all states of this process.
var states decoder

// decoder decodes exported states. Each is a gob stream of its own: first it describes its types,
// then it has one value. A gob.Decoder compiles a description, which takes most of the time, and
// does not accept the same one twice. So the decoder is kept, and from the second state on it is
// given only the value.
type decoder struct {
	mu    sync.Mutex
	types []byte       // guarded by mu; the description that gob has
	in    bytes.Buffer // guarded by mu; what gob reads
	gob   *gob.Decoder // guarded by mu; nil before the first state, and after an error
}

func (d *decoder) decode(b []byte) (exported, error) {
	at, ok := findValue(b)
	if !ok {
		return exported{}, errors.New("takeover: the exported state is not a gob")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gob == nil || !bytes.Equal(d.types, b[:at]) {
		d.gob, d.types = gob.NewDecoder(&d.in), bytes.Clone(b[:at])
		d.in.Write(b[:at])
	}
	d.in.Write(b[at:])
	defer func() { // gob keeps a copy until the next one; this one need not stay
		d.in.Reset()
		clear(d.in.AvailableBuffer()[:d.in.Available()])
	}()
	var x exported // gob leaves out fields that are zero
	if err := d.gob.Decode(&x); err != nil {
		d.gob = nil
		return exported{}, fmt.Errorf("takeover: exported state: %w", err)
	}
	return x, nil
}

// findValue returns where the last message of a gob stream begins. Each message is its length, as
// an unsigned number, and so many bytes (package encoding/gob, "Encoding Details").
func findValue(b []byte) (at int, ok bool) {
	for {
		size, n, ok := parseUint(b[at:])
		end := at + n + int(size)
		switch {
		case !ok, size == 0, size > uint64(len(b)), end > len(b):
			return 0, false
		case end == len(b):
			return at, true
		}
		at = end
	}
}

// parseUint reads an unsigned number of a gob: one byte below 128, or the negated number of bytes
// that follow, highest first.
func parseUint(b []byte) (v uint64, n int, ok bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	if b[0] < 128 {
		return uint64(b[0]), 1, true
	}
	n = 1 - int(int8(b[0]))
	if n > 9 || n > len(b) {
		return 0, 0, false
	}
	for _, x := range b[1:n] {
		v = v<<8 | uint64(x)
	}
	return v, n, true
}
