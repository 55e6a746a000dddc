package console

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/limit"
)

const (
	clientFor  = 2 * time.Second // that it is remembered whose a cookie or a token is, for budgets only
	maxClients = 1024
)

// clients remembers for a moment whose cookies and tokens are, by their SHA-256: many requests at
// once of one browser or script then cost one look.
type clients struct {
	mu sync.Mutex
	of map[[sha256.Size]byte]remembered // guarded by mu
}

type remembered struct {
	limit.Client
	until time.Time
}

func (c *clients) get(key [sha256.Size]byte, now time.Time) (limit.Client, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.of[key]
	return got.Client, ok && now.Before(got.until)
}

func (c *clients) put(key [sha256.Size]byte, who limit.Client, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || len(c.of) >= maxClients {
		c.of = map[[sha256.Size]byte]remembered{} // each is found again by one look
	}
	c.of[key] = remembered{who, now.Add(clientFor)}
}

// Client tells on whose budget a request goes: who is signed in, or whose token it has. It changes
// nothing, and what a request may do does not depend on it. Who cannot be looked up is a stranger.
func (c *Console) Client(r *http.Request) limit.Client {
	kind, text := "token ", ""
	if token, ok := account.Bearer(r); ok {
		text = token
	} else if cookie, ok := account.HasCookie(r); ok {
		kind, text = "cookie ", cookie
	} else {
		return limit.Client{}
	}
	key, now := sha256.Sum256([]byte(kind+text)), time.Now()
	if who, ok := c.clients.get(key, now); ok {
		return who
	}
	v := newVisit(c, nil, r)
	v.token = kind == "token "
	got, err := call(v, api.GetClient, api.Nothing{})
	if err != nil {
		return limit.Client{}
	}
	who := limit.Client{Account: string(got.Account), Token: string(got.Token)}
	if who.Account != "" { // what is nobody's would only push others out
		c.clients.put(key, who, now)
	}
	return who
}
