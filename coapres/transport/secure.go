package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/record/protect"
	"latchkey/coapres/transport/socket"
	"latchkey/coapres/transport/takeover"
)

const (
	// The longest encrypted record before our Finished is sent, in bytes: it can only be a Finished.
	earlyRecord = 256
	earlyCount  = 32 // records that are kept until the take-over

	maxDatagram = socket.MaxDatagram
)

// early is a copy of an encrypted record that came before its association could open it.
type early struct {
	record []byte
	from   netip.AddrPort
	at     time.Time
}

// secure seals and opens the records of one association at either end, from the end of pion's
// handshake on. Until then it keeps copies of the encrypted records that come, because pion drops
// those that it does not expect yet.
type secure struct {
	sealer *protect.Sealer // set by takeOver

	mu      sync.Mutex
	kept    []early         // guarded by mu; oldest first
	opener  *protect.Opener // guarded by mu
	ready   bool            // guarded by mu; records are opened as they come
	theirs  []byte          // guarded by mu; the record with the other side's Finished
	repeats bool            // guarded by mu; that Finished was opened, so another one repeats it
}

// workspace is what one goroutine needs to seal or to open.
type workspace struct {
	scratch protect.Scratch
	buffer  [maxDatagram]byte
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// keep keeps a copy of a record, if records cannot be opened yet, and if there is room. With evict
// the oldest makes room.
func (s *secure) keep(r []byte, from netip.AddrPort, at time.Time, evict bool) (kept, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch full := len(s.kept) >= earlyCount; {
	case s.ready:
		return false, true
	case full && evict:
		s.kept = s.kept[1:]
	case full:
		return true, false
	}
	s.kept = append(s.kept, early{slices.Clone(r), from, at})
	return true, true
}

// takeOver takes keys and numbers out of pion. Nothing that pion writes may be sent any more. The
// other side's Finished must open with the keys, which proves their derivation.
func (s *secure) takeOver(dc *dtls.Conn) error {
	_ = dc.Close() // sends nothing any more
	from, err := takeover.Export(dc)
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	opener, err := from.Opener()
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	if s.sealer, err = from.Sealer(); err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	trial, err := from.Opener()
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		c, err := trial.Open(w.buffer[:0], k.record, &w.scratch)
		if err == nil && isHandshake(c, record.Finished) {
			s.opener, s.theirs = opener, k.record
			return nil
		}
	}
	return errors.New("transport: the other side's Finished does not open with the keys that pion exports")
}

// goLive opens the records that were kept, in their order, and gives each to f. From then on
// records can be opened as they come. Those that come meanwhile are kept behind them, and when they
// come too fast to ever reach their end, what is left is dropped.
func (s *secure) goLive(f func(early)) {
	for n := 0; ; n++ {
		s.mu.Lock()
		if len(s.kept) == 0 || n >= 4*earlyCount {
			s.kept, s.ready = nil, true
			s.mu.Unlock()
			return
		}
		k := s.kept[0]
		s.kept = s.kept[1:]
		s.mu.Unlock()
		f(k)
	}
}

// open opens a record. repeated tells that it repeats the other side's Finished, and so asks for our
// last flight. The caller holds s.mu.
func (s *secure) open(r []byte, w *workspace) (c protect.Record, repeated bool, err error) {
	if s.opener == nil { // the association was saved
		return c, false, protect.ErrMalformed
	}
	c, err = s.opener.Open(w.buffer[:0], r, &w.scratch)
	switch {
	case err != nil:
		// pion sends its Finished with a connection ID under the same number each time.
		repeated = errors.Is(err, protect.ErrReplayed) && s.theirs != nil && bytes.Equal(r, s.theirs)
	case c.Type == record.ApplicationData:
		s.theirs = nil
	case isHandshake(c, record.Finished):
		repeated = s.theirs != nil && s.repeats
		s.repeats = true
	}
	return c, repeated, err
}

func isHandshake(c protect.Record, typ byte) bool {
	return c.Type == record.Handshake && c.Content[0] == typ
}

// seal seals a record and gives it to send, which must not keep it.
func (s *secure) seal(typ uint8, content []byte, send func(r []byte)) error {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	r, err := s.sealer.Seal(w.buffer[:0], typ, content, 0, &w.scratch)
	if err != nil {
		return fmt.Errorf("transport: %w", err)
	}
	send(r)
	return nil
}
