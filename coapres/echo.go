package coapres

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// The windows of freshness: how long after the intent a message may still be obeyed.
const (
	ScanWindow    = 3000 * time.Millisecond // scans and what a switch asks
	CommandWindow = 1500 * time.Millisecond // commands
)

const (
	echoLen  = 8
	echoKeep = 4                // Echoes an association remembers
	echoLife = 10 * time.Minute // an Echo older than this is stale
	minAge   = -60_000
	maxAge   = 601_000
	// clockSlip is how far wall clock and monotonic clock may differ before an Echo is forgotten:
	// the machine was asleep, or somebody set its clock.
	clockSlip = time.Second
)

// Freshness is the result of [Judge]. The zero value is not fresh.
type Freshness uint8

const (
	Stale  Freshness = iota // not provably recent: 4.01 and a new Echo
	Fresh                   // the intent is no older than the window
	BadAge                  // an impossible age: 4.00
)

// Judge is the whole arithmetic of freshness, in signed 32-bit milliseconds: elapsed since the Echo
// was issued, by the issuer's clock; age from receiving it to the intent, by the sender's; window
// the oldest intent that is still obeyed. The same rule runs in the firmware, against the same
// vectors (wire/testdata/vectors.txt).
func Judge(elapsed, age, window int32) Freshness {
	if age < minAge || age > maxAge {
		return BadAge
	}
	if elapsed < 0 || elapsed > int32(echoLife/time.Millisecond) {
		return Stale
	}
	if age > elapsed+elapsed/1000+1 { // an intent from the future, beyond what two clocks may differ
		return Stale
	}
	if elapsed-age > window {
		return Stale
	}
	return Fresh
}

// Errors of a freshness check.
var (
	ErrStale     = errors.New("not fresh: Echo and age")
	errAgeBounds = errors.New("age is out of bounds")
)

// LateError is an [ErrStale] of a message whose Echo is known, but which came too long after its
// intent.
type LateError struct{ After time.Duration } // from the intent, such as a tap, to the arrival

func (e *LateError) Error() string {
	return fmt.Sprintf("not fresh: %d ms old", e.After.Milliseconds())
}

// Is reports that a LateError is an ErrStale.
func (e *LateError) Is(target error) bool { return target == ErrStale }

// Echo is the value of the Echo option (RFC 9175 §2.2).
type Echo [echoLen]byte

// Echoes holds the last four Echoes that one association has issued, in memory only. The zero value
// is ready for use. It is safe for concurrent use.
type Echoes struct {
	mu     sync.Mutex
	issued [echoKeep]stamped // guarded by mu
	next   int               // guarded by mu
}

type stamped struct {
	echo Echo
	at   time.Time
}

// Issue returns a new Echo, stamped with now: the time at which its message is written.
func (x *Echoes) Issue(now time.Time) Echo {
	var e Echo
	_, _ = rand.Read(e[:])
	x.mu.Lock()
	defer x.mu.Unlock()
	x.issued[x.next] = stamped{e, now}
	x.next = (x.next + 1) % echoKeep
	return e
}

// Check tells whether the intent of a message with this echo and age is within the window before
// now, which is when its datagram was read. It returns nil, ErrStale, a [LateError], or an error
// that maps to 4.00.
func (x *Echoes) Check(echo []byte, age int32, window time.Duration, now time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	elapsed := int32(-1) // the Echo is unknown; age is still checked
	for i := range x.issued {
		s := &x.issued[i]
		if s.at.IsZero() || subtle.ConstantTimeCompare(s.echo[:], echo) != 1 {
			continue
		}
		if Slept(s.at, now) {
			x.issued = [echoKeep]stamped{}
			break
		}
		elapsed = milliseconds(now.Sub(s.at))
		break
	}
	switch Judge(elapsed, age, int32(window/time.Millisecond)) {
	case Fresh:
		return nil
	case BadAge:
		return errAgeBounds
	}
	after := time.Duration(elapsed-age) * time.Millisecond
	if elapsed >= 0 && elapsed <= int32(echoLife/time.Millisecond) && after > window {
		return &LateError{after}
	}
	return ErrStale
}

// milliseconds rounds up: doubt makes a message older.
func milliseconds(d time.Duration) int32 {
	ms := int64((d + time.Millisecond - 1) / time.Millisecond)
	if d < 0 {
		ms = int64(d/time.Millisecond) - 1
	}
	return int32(min(max(ms, math.MinInt32), math.MaxInt32))
}

// Slept tells whether wall clock and monotonic clock differ by more than a second since at: the
// machine was asleep, or its clock was set. A duration measured across that is wrong. Both times
// need their monotonic reading.
func Slept(at, now time.Time) bool { // Round(0) drops the monotonic reading
	return apart(now.Sub(at), now.Round(0).Sub(at.Round(0)))
}

// apart tells whether two clocks measured the same time differently.
func apart(monotonic, wall time.Duration) bool {
	d := monotonic - wall
	return d > clockSlip || d < -clockSlip
}

// Held is the newest Echo that the other side has given us. The zero value holds none. It is safe
// for concurrent use.
type Held struct {
	mu   sync.Mutex
	echo []byte    // guarded by mu
	at   time.Time // guarded by mu; when it was received
}

// Take stores an Echo that was received at the given time. It ignores one that is empty or longer
// than RFC 9175 allows.
func (h *Held) Take(echo []byte, at time.Time) {
	if len(echo) == 0 || len(echo) > 40 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.echo, h.at = append([]byte(nil), echo...), at
}

// Forget drops the Echo.
func (h *Held) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.echo = nil
}

// Age returns the Echo and the time in ms from receiving it to the intent, negative if the intent
// came first. Without a usable Echo it returns nil and 0; then the message is sent without an Echo,
// and the answer brings one.
func (h *Held) Age(intent, now time.Time) (echo []byte, age int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.echo == nil || Slept(h.at, now) || now.Sub(h.at) > echoLife {
		h.echo = nil
		return nil, 0
	}
	d := intent.Sub(h.at)
	age = int32(max(d/time.Millisecond, minAge))
	if d < 0 && d%time.Millisecond != 0 {
		age-- // round down: doubt makes a message older
	}
	return h.echo, max(age, minAge)
}
