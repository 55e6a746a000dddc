// Package sinktest feeds a sender through faults, as the engine of the sinks does, and checks what
// a receiver got. It is for tests only.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"latchkey/gateway/sink/sender"
)

// Site is the site of the messages.
const Site = "h3n8p2r5tv"

// Within bounds each wait, on a slow machine too.
const Within = 60 * time.Second

// Make makes the messages from the first to the last sequence number, of three kinds.
func Make(first, last int) []sender.Message {
	var all []sender.Message
	for seq := first; seq <= last; seq++ {
		kind := []string{"decision", "receipt", "report"}[seq%3]
		id := fmt.Sprintf("1.%d", seq)
		all = append(all, sender.Message{ID: id, Seq: uint64(seq), Kind: kind, Site: Site,
			Body: fmt.Appendf(nil, `{"specversion":"1.0","id":"%s","type":"io.latchkey.%s.v1"}`, id, kind)})
	}
	return all
}

// Feed sends the messages 1 to n in batches, each again until it is taken. Before a batch it runs
// the fault of that batch, if there is one. A permanent failure fails the test.
func Feed(t testing.TB, s sender.Sender, n int, faults map[int]func()) {
	t.Helper()
	const size = 100
	for batch := 0; batch*size < n; batch++ {
		if fault := faults[batch]; fault != nil {
			fault()
		}
		Deliver(t, s, Make(batch*size+1, min(n, (batch+1)*size)))
	}
}

// Deliver sends the messages, each again until it is taken.
func Deliver(t testing.TB, s sender.Sender, left []sender.Message) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(2 * Within); len(left) > 0; {
		ctx, cancel := context.WithTimeout(context.Background(), Within)
		taken, err := s.Send(ctx, left)
		cancel()
		if taken < 0 || taken > len(left) || (taken < len(left)) != (err != nil) {
			t.Fatalf("taken %d of %d messages with the error %v", taken, len(left), err)
		}
		if sender.IsPermanent(err) {
			t.Fatalf("permanent: %v", err)
		}
		if err != nil {
			last = err
		}
		if taken > 0 {
			deadline = time.Now().Add(2 * Within)
		}
		left = left[taken:]
		if len(left) > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("message %d is not taken: %v", left[0].Seq, last)
			}
			time.Sleep(20 * time.Millisecond) // the engine pauses for longer
		}
	}
}

// Receipt checks that a receiver gets 1 to n in order, apart from repeats.
type Receipt struct {
	Repeats int
	last    int
}

// Add takes the id of the next message that was received, such as "1.7".
func (r *Receipt) Add(id string) error {
	var epoch, seq int
	if _, err := fmt.Sscanf(id, "%d.%d", &epoch, &seq); err != nil || epoch != 1 {
		return errors.New("the id " + id + " is none")
	}
	switch {
	case seq <= r.last:
		r.Repeats++
	case seq == r.last+1:
		r.last = seq
	default:
		return fmt.Errorf("message %d came after message %d: some are lost, or not in order", seq, r.last)
	}
	return nil
}

// Last is how many messages came.
func (r *Receipt) Last() int { return r.last }
