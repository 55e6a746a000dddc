package dial

import (
	"io"
	"net"
	"testing"
)

// A server that answers is listened to for as long as it likes, and one that sends without end is not.
func TestServerThatSendsWithoutEnd(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = here.Close() }()
	const rounds = 64
	b := make([]byte, 1<<20)
	go func() {
		defer func() { _ = there.Close() }()
		b := make([]byte, 1<<20)
		for round := 0; ; round++ {
			if _, err := io.ReadFull(there, b[:max(0, min(rounds-round, 1))<<20]); err != nil {
				return
			}
			if _, err := there.Write(b); err != nil {
				return
			}
		}
	}()
	c := LimitAnswers(here)
	for range rounds {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	if came, err := io.CopyN(io.Discard, c, 64<<20); err != errUnasked || came > mostUnasked {
		t.Errorf("%d bytes have come, and then %v", came, err)
	}
}
