package protect

// windowSize is how far behind the newest record one may be (RFC 6347 §4.1.2.6).
const windowSize = 64

// Window remembers which records were received, so that none is accepted twice. The zero Window has
// seen nothing. Check a number before the record is opened, and mark it only if the record is
// authentic: otherwise a forged number would push the window forward.
type Window struct {
	Top  uint64 // the highest number
	Seen uint64 // bit i: Top-i was received; 0 only if nothing was
}

// Check tells whether a record with this number may still be accepted.
func (w *Window) Check(number uint64) bool {
	switch {
	case number > w.Top:
		return true
	case w.Top-number >= windowSize:
		return false
	}
	return w.Seen>>(w.Top-number)&1 == 0
}

// Mark remembers a number for which Check is true. It tells whether it is the newest.
func (w *Window) Mark(number uint64) (newest bool) {
	switch {
	case w.Seen == 0:
		w.Top, w.Seen = number, 1
	case number > w.Top:
		w.Seen = w.Seen<<(number-w.Top) | 1 // a shift by 64 or more leaves nothing
		w.Top = number
	default:
		w.Seen |= 1 << (w.Top - number)
		return false
	}
	return true
}
