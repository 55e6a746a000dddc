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
	// clientFor is how long we remember whose a cookie or a token is. Only budgets use it.
	clientFor = 2 * time.Second
	// pageFor is the same for requests for pages. It is longer, since each of them finds out anyway
	// who is signed in, and remembers it.
	pageFor    = time.Minute
	maxClients = 1024
)

// clients is a cache of the accounts of cookies and tokens, by their SHA-256. Many requests at once
// from one browser or script then need one lookup, and requests for pages need none.
type clients struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]remembered // guarded by mu
}

type remembered struct {
	limit.Client
	at time.Time
}

// find returns the client that was remembered for a key, if it was stored after since.
func (c *clients) find(key [sha256.Size]byte, since time.Time) (limit.Client, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.known[key]
	return got.Client, ok && got.at.After(since)
}

// remember stores the client of a key. A key without an account is removed, because it would only
// evict others.
func (c *clients) remember(key [sha256.Size]byte, who limit.Client, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who.Account == "" {
		delete(c.known, key)
		return
	}
	if c.known == nil || len(c.known) >= maxClients {
		c.known = map[[sha256.Size]byte]remembered{} // each costs one lookup again
	}
	c.known[key] = remembered{who, now}
}

// clientKey returns the key under which a request's client is remembered; token says that it is a
// script's. A request with neither a token nor a cookie has no key.
func clientKey(r *http.Request) (key [sha256.Size]byte, token, ok bool) {
	if text, ok := account.Bearer(r); ok {
		return sha256.Sum256([]byte("token " + text)), true, true
	}
	text, ok := account.HasCookie(r)
	return sha256.Sum256([]byte("cookie " + text)), false, ok
}

// Client returns the account that a request is counted for: the one that is signed in, or that of
// the token. It changes nothing and is used for limits only, never for permissions. If the lookup
// fails, the request counts as a stranger's.
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
