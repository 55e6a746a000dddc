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

// challenges makes and checks what browsers sign with a passkey. A challenge is not stored, so a
// visitor who asks for many makes nobody else's invalid. It carries the time since the gateway's
// start at which it was made, and a MAC under a key that is new at each start. An account may only
// answer a challenge that is later than the last one it answered, so each is good once (as a
// one-time code is, RFC 6238, 5.2).
type challenges struct {
	key   []byte
	now   func() time.Time
	start time.Time

	mu   sync.Mutex
	last map[access.ID]time.Duration // guarded by mu; when the last answered challenge was made
}

// challengeFor is how long a challenge can be answered.
const challengeFor = 5 * time.Minute

// What a challenge is for. A challenge for one purpose is refused for another.
const toSignIn = "sign in"

func toAdd(id access.ID) string { return "add a passkey to " + string(id) }

func newChallenges(now func() time.Time) challenges {
	return challenges{key: randomKey(), now: now, start: now(), last: map[access.ID]time.Duration{}}
}

const challengeHead = 8 + 16 // nanoseconds since the start, and a nonce

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

// read checks a challenge that the browser sent back: that we made it, for this purpose, and not
// too long ago. made is when it was made.
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

// use records that an account has answered a challenge. It returns false if the account had already
// answered this one or a later one.
func (c *challenges) use(id access.ID, made time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, answered := c.last[id]; answered && made <= last {
		return false
	}
	c.last[id] = made
	return true
}
