package homeassistant

import "time"

// Wrong codes of one integration are counted together, whatever the door: a code has few digits.
const (
	wrongFree = 3           // that many wrong codes in a row close the way for a while
	firstShut = time.Minute // and each further one for twice as long,
	maxShut   = time.Hour   // up to this
	wrongMost = 20          // within wrongSpan: the integration is paused
	wrongSpan = 24 * time.Hour
)

// wrongCodes counts wrong codes. It is for one goroutine at a time.
type wrongCodes struct {
	inRow int         // since the last right code
	until time.Time   // no code is checked before
	times []time.Time // of those within wrongSpan, oldest first
}

// wait returns how long no code is checked; 0 means that one may be checked now.
func (w *wrongCodes) wait(now time.Time) time.Duration { return max(0, w.until.Sub(now)) }

// note counts a code that was checked. It tells whether the integration must be paused.
func (w *wrongCodes) note(fits bool, now time.Time) (pause bool) {
	if fits {
		w.inRow = 0
		return false
	}
	w.inRow++
	if over := w.inRow - wrongFree; over >= 0 {
		shut := maxShut
		if over < 6 { // 2^6 minutes are more than maxShut
			shut = firstShut << over
		}
		w.until = now.Add(shut)
	}
	w.times = append(w.times, now)
	for now.Sub(w.times[0]) > wrongSpan {
		w.times = w.times[1:]
	}
	return len(w.times) >= wrongMost
}

// today returns how many wrong codes there were within wrongSpan.
func (w *wrongCodes) today(now time.Time) (n int) {
	for _, at := range w.times {
		if now.Sub(at) <= wrongSpan {
			n++
		}
	}
	return n
}
