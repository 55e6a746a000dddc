package limit

import "time"

const (
	seconds  = 2    // how many seconds' worth may come at once
	maxRated = 4096 // addresses that are remembered
)

// rates bounds how often something happens, in all and for each address. 0 means no bound.
type rates struct {
	all, each int // a second
	total     bucket
	of        map[string]bucket
}

// bucket is a leaky bucket: how full it was when it last changed.
type bucket struct {
	spent float64
	at    time.Time
}

// left returns how full it still is at now.
func (b bucket) left(rate int, now time.Time) float64 {
	return max(0, b.spent-now.Sub(b.at).Seconds()*float64(rate))
}

// allow counts one more, or returns false.
func (r *rates) allow(addr string, now time.Time) bool {
	if r.of == nil {
		r.of = map[string]bucket{}
	}
	total, own := r.total.left(r.all, now), r.of[addr].left(r.each, now)
	if r.all > 0 && total+1 > float64(seconds*r.all) || r.each > 0 && own+1 > float64(seconds*r.each) {
		return false
	}
	r.total = bucket{total + 1, now}
	if r.each == 0 {
		return true
	}
	if len(r.of) >= maxRated {
		r.forget(now)
	}
	if _, ok := r.of[addr]; ok || len(r.of) < maxRated { // with more addresses only the total is bounded
		r.of[addr] = bucket{own + 1, now}
	}
	return true
}

// forget drops the addresses whose buckets are empty.
func (r *rates) forget(now time.Time) {
	for addr, b := range r.of {
		if b.left(r.each, now) == 0 {
			delete(r.of, addr)
		}
	}
}

// move counts one for another address instead, if that may have one more.
func (r *rates) move(from, to string, now time.Time) {
	r.total.spent = max(0, r.total.spent-1)
	if !r.allow(to, now) {
		r.total.spent++
		return
	}
	if b, ok := r.of[from]; ok {
		b.spent = max(0, b.spent-1)
		r.of[from] = b
	}
}

// pieces is how many parts a second is divided into. A reader waits for one part at most.
const pieces = 8

// paced knows how far a connection is ahead of its pace.
type paced struct {
	spent bucket
}

// next returns how long to wait before the next read, and how many bytes that may read.
func (p *paced) next(now time.Time, burst, pace int) (wait time.Duration, most int) {
	piece := max(1, pace/pieces)
	spent := p.spent.left(pace, now)
	p.spent = bucket{spent, now}
	if room := burst - int(spent); room >= piece {
		return 0, room
	}
	return time.Second / pieces, piece
}

// took counts bytes that were read.
func (p *paced) took(n int) { p.spent.spent += float64(n) }
