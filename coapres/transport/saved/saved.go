// Package saved has the stored form of associations that outlive the process: their keys, numbers,
// windows and connection IDs. It never has an Echo. The form is in plaintext and full of secrets, so
// whoever stores it must seal it. The package makes no file and seals nothing.
//
//	state       = 01 | when it was saved, Unix ns (8) | number of the event of the stop (8)
//	              | that event's hash (32) | count (4) | so many associations
//	association = length of the rest (2) | suite (2) | our next number (8) | window: its top (8), its
//	              bits (8) | our last message ID (2) | our last token (4) | when the node was last
//	              heard, Unix ns (8) | our key and IV | the node's key and IV | identity | home
//	              | our connection ID | the node's | note
//
// Identity, home, connection IDs and note have their length in front (1). Numbers are big-endian.
// Home is the node's last proven address and port, as text. The note is of the layer above.
package saved

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"latchkey/coapres/transport/record/protect"
)

// Bounds of a state.
const (
	MaxAssociations = 10_000
	MaxNote         = 128 // bytes

	maxIdentity = 64
	maxAddress  = 96 // of an IPv6 address with a zone, and its port, as text
	maxCID      = 32

	version   = 1
	headSize  = 1 + 8 + 8 + 32 + 4
	numbers   = 2 + 8 + 8 + 8 + 2 + 4 + 8 // of an association, before its keys
	lengths   = 5                         // of the five texts
	leastSize = numbers + 2*(16+4) + lengths
	mostSize  = numbers + 2*(32+12) + lengths + maxIdentity + maxAddress + 2*maxCID + MaxNote

	// MaxSize is how long an encoded state may be, in bytes.
	MaxSize = headSize + MaxAssociations*(2+mostSize)
)

// How far the numbers of our records may jump when an association goes on, so that even a state that is
// used twice, whoever made that possible, most probably repeats no number. wolfSSL 5.5 drops records
// whose number is above by 2^32 or more. So the numbers take up to half of what is left below 2^32, as
// long as that is much: for the first seven times or so.
const (
	maxAdvance   = 1 << 40
	leastAdvance = 1 << 28
	lowNumbers   = 1 << 32
)

// ErrMalformed is returned for bytes that [State.AppendTo] did not make.
var ErrMalformed = errors.New("saved: not a saved state")

// State is all that is saved at one stop.
type State struct {
	At           time.Time // of the stop
	Event        uint64    // the event of the stop
	Hash         [32]byte  // and its hash
	Associations []Association
}

// Association is one association, whose Sealer has ended and which opens no record any more.
type Association struct {
	Identity         string // the PSK identity that was proven
	Sealing, Opening protect.Key
	OurCID, PeerCID  []byte         // either may be empty
	Next             uint64         // above each number of a record of ours
	Window           protect.Window // of the node's records
	Home             netip.AddrPort // the last address that was proven
	MessageID        uint16         // the last one of ours
	Tokens           uint32         // how many we have used
	Heard            time.Time      // when the node's last message was read
	Note             []byte         // of the layer above; at most MaxNote bytes
}

// Fits tells whether an association can be saved.
func (a *Association) Fits() bool {
	return a.Identity != "" && len(a.Identity) <= maxIdentity && a.Next < protect.MaxNumber &&
		len(a.OurCID) <= maxCID && len(a.PeerCID) <= maxCID && len(a.Note) <= MaxNote &&
		a.Home.IsValid() && len(a.Home.String()) <= maxAddress && a.Window.Seen&1 == 1 &&
		a.Sealing.Suite() == a.Opening.Suite() && a.Sealing.Suite() != 0
}

// Sealer returns the Sealer with which the association goes on. Its first number is above every
// number that was used before, by a random distance. The error is [protect.ErrNumbers] if there are
// no more numbers.
func (a *Association) Sealer() (*protect.Sealer, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	most := uint64(maxAdvance)
	if low := (lowNumbers - min(a.Next, lowNumbers)) / 2; low >= leastAdvance {
		most = low
	}
	first := a.Next + 1 + binary.BigEndian.Uint64(b[:])%most
	if first >= protect.MaxNumber {
		return nil, fmt.Errorf("saved: %w", protect.ErrNumbers)
	}
	return protect.NewSealer(a.Sealing, a.PeerCID, first)
}

// Opener returns the Opener with which the association goes on. It opens no record again.
func (a *Association) Opener() (*protect.Opener, error) {
	o, err := protect.NewOpener(a.Opening, a.OurCID)
	if err == nil {
		o.Continue(a.Window)
	}
	return o, err
}

// AppendTo appends the encoded state. It panics for an association that does not fit, and for more
// than [MaxAssociations].
func (s *State) AppendTo(b []byte) []byte {
	if len(s.Associations) > MaxAssociations {
		panic("saved: too many associations")
	}
	b = append(b, version)
	b = binary.BigEndian.AppendUint64(b, uint64(s.At.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, s.Event)
	b = append(b, s.Hash[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Associations)))
	for i := range s.Associations {
		a := &s.Associations[i]
		if !a.Fits() {
			panic("saved: an association that does not fit")
		}
		start := len(b)
		b = a.appendTo(append(b, 0, 0))
		binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-2))
	}
	return b
}

func (a *Association) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(a.Sealing.Suite()))
	b = binary.BigEndian.AppendUint64(b, a.Next)
	b = binary.BigEndian.AppendUint64(b, a.Window.Top)
	b = binary.BigEndian.AppendUint64(b, a.Window.Seen)
	b = binary.BigEndian.AppendUint16(b, a.MessageID)
	b = binary.BigEndian.AppendUint32(b, a.Tokens)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Heard.UnixNano()))
	b = a.Opening.AppendTo(a.Sealing.AppendTo(b))
	home := a.Home.String()
	b = append(append(b, byte(len(a.Identity))), a.Identity...)
	b = append(append(b, byte(len(home))), home...)
	for _, t := range [][]byte{a.OurCID, a.PeerCID, a.Note} {
		b = append(append(b, byte(len(t))), t...)
	}
	return b
}

// Parse reads what [State.AppendTo] made, and nothing else. The result shares no memory with b.
func Parse(b []byte) (State, error) {
	if len(b) < headSize || len(b) > MaxSize || b[0] != version {
		return State{}, ErrMalformed
	}
	s := State{At: time.Unix(0, int64(binary.BigEndian.Uint64(b[1:]))), Event: binary.BigEndian.Uint64(b[9:]),
		Hash: [32]byte(b[17:])}
	count := binary.BigEndian.Uint32(b[49:])
	b = b[headSize:]
	if count > MaxAssociations || int(count)*(2+leastSize) > len(b) {
		return State{}, ErrMalformed
	}
	s.Associations = make([]Association, count)
	for i := range s.Associations {
		if len(b) < 2 {
			return State{}, ErrMalformed
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size > len(b) || size < leastSize || size > mostSize ||
			!s.Associations[i].parse(b[:size]) {
			return State{}, ErrMalformed
		}
		b = b[size:]
	}
	if len(b) > 0 {
		return State{}, ErrMalformed
	}
	return s, nil
}

// parse reads one association. b has at least leastSize bytes.
func (a *Association) parse(b []byte) bool {
	suite := protect.Suite(binary.BigEndian.Uint16(b))
	a.Next = binary.BigEndian.Uint64(b[2:])
	a.Window.Top, a.Window.Seen = binary.BigEndian.Uint64(b[10:]), binary.BigEndian.Uint64(b[18:])
	a.MessageID, a.Tokens = binary.BigEndian.Uint16(b[26:]), binary.BigEndian.Uint32(b[28:])
	a.Heard = time.Unix(0, int64(binary.BigEndian.Uint64(b[32:])))
	b = b[numbers:]

	key, iv, ok := suite.Sizes()
	if !ok || len(b) < 2*(key+iv) {
		return false
	}
	var err error
	for _, k := range []*protect.Key{&a.Sealing, &a.Opening} {
		if *k, err = protect.NewKey(suite, b[:key], b[key:key+iv]); err != nil {
			return false
		}
		b = b[key+iv:]
	}

	var texts [lengths][]byte
	for i := range texts {
		if len(b) == 0 || int(b[0]) >= len(b) {
			return false
		}
		n := 1 + int(b[0])
		texts[i], b = b[1:n], b[n:]
	}
	home, err := netip.ParseAddrPort(string(texts[1]))
	if len(b) > 0 || err != nil || home.String() != string(texts[1]) {
		return false
	}
	a.Identity, a.Home = string(texts[0]), home
	a.OurCID, a.PeerCID, a.Note = bytes.Clone(texts[2]), bytes.Clone(texts[3]), bytes.Clone(texts[4])
	return a.Fits()
}
