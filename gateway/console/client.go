package console

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"latchkey/gateway/limit"
)

const (
	clientFor  = 2 * time.Second // that it is remembered whose a cookie or a token is, for budgets only
	maxClients = 1024
)

// clients remembers for a moment whose cookies and tokens are, by their SHA-256: many requests at once of one browser or script then cost one look.
type clients struct {
	mu sync.Mutex
	of map[[sha256.Size]byte]client // guarded by mu
}

type client struct {
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
		c.of = map[[sha256.Size]byte]client{} // each is found again by one look
	}
	c.of[key] = client{who, now.Add(clientFor)}
}

// Client tells on whose budget a request goes: who is signed in, or whose token it has. It changes nothing, and what a request may do does not
// depend on it. Who cannot be looked up is a stranger.
func (c *Console) Client(r *http.Request) limit.Client {
	v := &visit{Console: c, r: r}
	kind, text, look := "token ", "", v.clientOfToken
	if token, ok := bearer(r); ok {
		text = token
	} else if cookie, err := r.Cookie(c.sessions.Cookie.Name); err == nil {
		kind, text, look = "cookie ", cookie.Value, v.clientOfCookie
	} else {
		return limit.Client{}
	}
	key, now := sha256.Sum256([]byte(kind+text)), time.Now()
	if who, ok := c.clients.get(key, now); ok {
		return who
	}
	who := look(text)
	if who.Account != "" { // what is nobody's would only push others out
		c.clients.put(key, who, now)
	}
	return who
}

func (v *visit) clientOfToken(text string) limit.Client {
	account, token, err := v.tokenOf(text)
	if err != nil || token.ID == "" {
		return limit.Client{}
	}
	return limit.Client{Account: string(account.ID), Token: string(token.ID)}
}

func (v *visit) clientOfCookie(text string) limit.Client {
	ctx, err := v.sessions.Load(v.r.Context(), text)
	if err != nil {
		return limit.Client{}
	}
	at := &visit{Console: v.Console, r: v.r.WithContext(ctx)}
	account, err := at.signedInAs()
	if err != nil {
		return limit.Client{}
	}
	return limit.Client{Account: string(account.ID)}
}
