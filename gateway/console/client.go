package console

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/limit"
)

const (
	clientFor = 2 * time.Second // that it is remembered whose a cookie or a token is, for budgets only
	// pageFor is that of requests for pages: each of them finds out anyway who is signed in, and what
	// is remembered follows.
	pageFor    = time.Minute
	maxClients = 1024
)

// clients remembers for a moment whose cookies and tokens are, by their SHA-256: many requests at
// once of one browser or script then cost one look, and a page costs none.
type clients struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]remembered // guarded by mu
}

type remembered struct {
	limit.Client
	at time.Time
}

// find returns whose it was at some time since then.
func (c *clients) find(key [sha256.Size]byte, since time.Time) (limit.Client, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.known[key]
	return got.Client, ok && got.at.After(since)
}

// remember keeps whose it is now. What is nobody's is forgotten: it would only push others out.
func (c *clients) remember(key [sha256.Size]byte, who limit.Client, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who.Account == "" {
		delete(c.known, key)
		return
	}
	if c.known == nil || len(c.known) >= maxClients {
		c.known = map[[sha256.Size]byte]remembered{} // each is found again by one look
	}
	c.known[key] = remembered{who, now}
}

// clientKey is what a request's client is remembered by; token tells that it is a script's. A
// request that has neither a token nor a cookie has none.
func clientKey(r *http.Request) (key [sha256.Size]byte, token, ok bool) {
	if text, ok := account.Bearer(r); ok {
		return sha256.Sum256([]byte("token " + text)), true, true
	}
	text, ok := account.HasCookie(r)
	return sha256.Sum256([]byte("cookie " + text)), false, ok
}

// Client tells on whose budget a request goes: who is signed in, or whose token it has. It changes
// nothing, and what a request may do does not depend on it. Who cannot be looked up is a stranger.
func (c *Console) Client(r *http.Request) limit.Client {
	key, token, ok := clientKey(r)
	if !ok {
		return limit.Client{}
	}
	now, age := time.Now(), clientFor
	if _, pattern := c.mux.Handler(r); !token && c.isPage(pattern) {
		age = pageFor
	}
	if who, ok := c.clients.find(key, now.Add(-age)); ok {
		return who
	}
	v := newVisit(c, nil, r)
	v.token = token
	got, err := call(v, api.GetClient, api.Nothing{})
	if err != nil {
		return limit.Client{}
	}
	who := limit.Client{Account: string(got.Account), Token: string(got.Token)}
	c.clients.remember(key, who, now)
	return who
}

// isPage tells whether the routes have the pattern.
func (c *Console) isPage(pattern string) bool {
	return slices.ContainsFunc(c.routes, func(r route) bool { return r.pattern == pattern })
}
