package homeassistant

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"latchkey/gateway/access"
)

const (
	echoBytes = 8
	// echoAge is how long an echo is valid. While our clock is not trusted, only the echo's age
	// tells how old a command may be.
	echoAge          = 10 * time.Minute
	echoAgeUntrusted = 10 * time.Second
	// clockApart is how far a command's time may be from ours.
	clockApart = 3 * time.Second
)

// echoes holds the echo of each target: a random text that a command must carry, and that is valid
// for one command. They are in memory only. The zero value is ready for use. It is safe for
// concurrent use.
type echoes struct {
	mu sync.Mutex
	of map[access.ID]echo // guarded by mu
}

type echo struct {
	text string
	made time.Time
}

// current returns the echo of a target, and makes a new one if there is none or if it is too old.
func (e *echoes) current(target access.ID, now time.Time, age time.Duration) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	have, ok := e.of[target]
	if !ok || now.Sub(have.made) >= age {
		have = e.renew(target, now)
	}
	return have.text
}

// take uses the echo of a target up. ok is false if the text is not that echo; then the echo stays
// as it is. age is how long ago the echo was made.
func (e *echoes) take(target access.ID, text string, now time.Time) (age time.Duration, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	have, ok := e.of[target]
	if !ok || have.text != text {
		return 0, false
	}
	e.renew(target, now)
	return now.Sub(have.made), true
}

// renew makes a new echo. The caller holds mu.
func (e *echoes) renew(target access.ID, now time.Time) echo {
	var b [echoBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the system's random source never fails
	}
	if e.of == nil {
		e.of = map[access.ID]echo{}
	}
	e.of[target] = echo{hex.EncodeToString(b[:]), now}
	return e.of[target]
}

// clear forgets all echoes: no command that was made before is valid any more.
func (e *echoes) clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.of)
}

// keep forgets the echoes of all targets but those for which keep is true.
func (e *echoes) keep(keep func(access.ID) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.of {
		if !keep(id) {
			delete(e.of, id)
		}
	}
}
