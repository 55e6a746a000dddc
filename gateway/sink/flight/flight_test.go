package flight

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"latchkey/gateway/sink/sender"
)

// server is a server of a test that settles messages at random, in any order.
type server struct {
	r    *rand.Rand
	got  []uint64
	lost bool
}

type sent struct {
	s       *server
	seq     uint64
	settled bool
	err     error
}

var errRefused, errLost, errSlow = errors.New("refused"), errors.New("lost"), errors.New("slow")

func (s *server) Route(m sender.Message) string { return m.Kind }

func (s *server) Publish(_ context.Context, m sender.Message) (Pending, error) {
	if s.lost || s.r.IntN(500) == 0 {
		s.lost = true
		return nil, errLost
	}
	return &sent{s: s, seq: m.Seq}, nil
}

func (p *sent) Wait(ctx context.Context) (bool, error) {
	switch {
	case p.settled:
		return true, p.err
	case ctx.Err() != nil || p.s.lost:
		return false, errLost
	case p.s.r.IntN(200) == 0:
		return false, errSlow
	}
	if p.settled = true; p.s.r.IntN(50) == 0 {
		p.err = errRefused
	} else {
		p.s.got = append(p.s.got, p.seq)
	}
	return true, p.err
}

func TestNothingIsLostOrSentTwiceOverOneConnection(t *testing.T) {
	for seed := range uint64(200) {
		s := &server{r: rand.New(rand.NewPCG(seed, 1))}
		var f Flight
		const n = 1000
		losses := 0
		for at := 1; at <= n; {
			var batch []sender.Message
			for i := at; i <= min(at+99, n); i++ {
				batch = append(batch, sender.Message{ID: fmt.Sprint("1.", i), Seq: uint64(i),
					Kind: fmt.Sprint(i % 3)})
			}
			taken, err := f.Send(t.Context(), s, batch)
			if (taken < len(batch)) != (err != nil) {
				t.Fatalf("seed %d: %d of %d taken, and %v", seed, taken, len(batch), err)
			}
			at += taken
			if s.lost {
				f.Reset()
				s.lost = false
				losses++
			}
		}
		times := map[uint64]int{}
		for _, seq := range s.got {
			times[seq]++
		}
		for i := uint64(1); i <= n; i++ {
			if times[i] != 1 { // a server that has not settled a message has not got it here
				t.Fatalf("seed %d: message %d came %d times; %d losses", seed, i, times[i], losses)
			}
		}
		if len(f.out) > 0 {
			t.Fatalf("seed %d: %d messages are left over", seed, len(f.out))
		}
	}
}

func TestFirstMessageOfARouteGoesAlone(t *testing.T) {
	s := &server{r: rand.New(rand.NewPCG(1, 1))}
	f := Flight{window: Most, routes: map[string]bool{"a": true, "b": true}}
	for _, tt := range []struct {
		name, routes string
		want         int
	}{
		{"known routes go together", "abab", 4},
		{"a new one waits", "abca", 2},
		{"and goes alone", "cab", 1},
	} {
		var batch []sender.Message
		for _, r := range tt.routes {
			batch = append(batch, sender.Message{Kind: string(r)})
		}
		if got := len(f.cutRun(s, batch)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}
