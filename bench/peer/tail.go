package peer

import (
	"errors"
	"strings"
	"sync"
)

// tail keeps the end of what a peer prints, for the error when it does not start.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

const tailLen = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - tailLen; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

// err returns what was printed as an error, or nil.
func (t *tail) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := strings.TrimSpace(string(t.text)); s != "" {
		return errors.New("it printed: " + s)
	}
	return nil
}
