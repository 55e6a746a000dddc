package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"

	"latchkey/gateway/access"
)

// challenges are what browsers are asked to sign with a passkey. Nothing is kept of one that is
// asked for, so nobody makes another's void by asking for many: it carries when it was made, by the
// clock since the start, and a MAC under a key of this start. Each account's answers must be to
// later and later ones, so each is good once (as a one-time code is, RFC 6238, 5.2).
type challenges struct {
	key   []byte
	now   func() time.Time
	start time.Time

	mu   sync.Mutex
	last map[access.ID]time.Duration // guarded by mu; when the last challenge was made that an account has answered
}

// challengeFor is how long a challenge can be answered.
const challengeFor = 5 * time.Minute

// What a challenge is for: an answer to one is none to another.
const toSignIn = "sign in"

func toAdd(id access.ID) string { return "add a passkey to " + string(id) }

func newChallenges(now func() time.Time) challenges {
	return challenges{key: randomKey(), now: now, start: now(), last: map[access.ID]time.Duration{}}
}

const challengeHead = 8 + 16 // nanoseconds since the start, and what makes it the only one of that moment

func (c *challenges) make(what, site string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.now().Sub(c.start)))
	b = append(b, randomKey()[:16]...)
	return append(b, c.mac(what, site, b)...)
}

func (c *challenges) mac(what, site string, head []byte) []byte {
	m := hmac.New(sha256.New, c.key)
	m.Write(head)
	m.Write([]byte(what + "\x00" + site))
	return m.Sum(nil)
}

// read takes a challenge as the browser sends it back, if it is ours, for this, and not too old.
// made is when it was made.
func (c *challenges) read(what, site, text string) (challenge []byte, made time.Duration, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != challengeHead+sha256.Size ||
		!hmac.Equal(b[challengeHead:], c.mac(what, site, b[:challengeHead])) {
		return nil, 0, false
	}
	made = time.Duration(binary.BigEndian.Uint64(b))
	age := c.now().Sub(c.start) - made
	return b, made, age >= -time.Minute && age <= challengeFor
}

// use marks that an account has answered a challenge, and tells whether it had not answered it, or
// a later one, before.
func (c *challenges) use(id access.ID, made time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, answered := c.last[id]; answered && made <= last {
		return false
	}
	c.last[id] = made
	return true
}
