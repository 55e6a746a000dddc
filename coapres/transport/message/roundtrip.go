package message

import (
	"math/rand/v2"
	"time"
)

const (
	// ACK_TIMEOUT before the first round trip is known, times 1…1.5 (ACK_RANDOM_FACTOR).
	firstTimeout = time.Second
	minTimeout   = 200 * time.Millisecond
	maxTimeout   = time.Second
)

// RoundTrip estimates how long answers take on one association. The zero value has no sample.
type RoundTrip struct{ smoothed time.Duration }

// Add adds a sample. It must come from a message that was sent once (Karn's rule).
func (r *RoundTrip) Add(sample time.Duration) {
	sample = max(sample, time.Microsecond)
	if r.smoothed == 0 {
		r.smoothed = sample
		return
	}
	r.smoothed = (7*r.smoothed + sample) / 8
}

// Timeout returns the wait before the first retransmission. Doors are on a LAN: once the round trip
// is known there is no reason to wait the 2 s of RFC 7252 §4.8.
func (r *RoundTrip) Timeout() time.Duration {
	if r.smoothed == 0 {
		return firstTimeout + time.Duration(rand.Int64N(int64(firstTimeout/2)))
	}
	return min(max(2*r.smoothed, minTimeout), maxTimeout)
}
