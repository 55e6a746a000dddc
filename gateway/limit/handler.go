package limit

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Budget is what may be under way at a time: requests, and bytes of their bodies.
type Budget struct{ Requests, Bytes int64 }

// Class is the bounds of strangers, or of those who are signed in.
type Class struct {
	All   Budget        // and as many requests again in a reserve, where each address or account has one when others have used up the rest
	Each  Budget        // of one address, or of one account
	Body  int64         // bytes of one request's body
	Read  time.Duration // in which a body must have come
	Write time.Duration // in which an answer must have gone; the handler may set another deadline
	// Rate and EachRate bound requests a second, in all and of one address; twice as many may come
	// at once. 0: not bounded. They are for strangers: an account is bounded by what it has under
	// way.
	Rate, EachRate int
}

// Requests are a handler's bounds: who is signed in takes nothing of what strangers have, and they
// nothing of his, also behind one address.
type Requests struct{ Strangers, Known Class }

// handler is what [NewHandler] returns.
type handler struct {
	next   http.Handler
	who    func(*http.Request) Client
	bounds Requests
	shares Shares
	looks  Gate // entered while who is asked

	mu    sync.Mutex
	rates rates // of strangers' requests; guarded by mu
}

// looksAtOnce bounds what is spent on requests before it is known whose budget they go on. Those
// that wait for it cost no time of the processor.
const looksAtOnce = 2

// retryAfter is how many seconds somebody should wait whose share is used up.
const retryAfter = 2

// NewHandler returns a handler that bounds what reaches next. who tells the account that a request
// is of, and its token, cheaply: it is asked before anything is bounded, and it must not read the
// body. next finds the client in the request's context.
func NewHandler(next http.Handler, who func(*http.Request) Client, b Requests) http.Handler {
	return &handler{next: next, who: who, bounds: b, looks: NewGate(looksAtOnce),
		rates: rates{all: b.Strangers.Rate, each: b.Strangers.EachRate}}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := connOf(r.Context())
	conn.begin()
	defer conn.end()
	client, ok := h.client(r)
	if client.Account == "" && !h.allow(client.Addr) {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		refuse(w, http.StatusTooManyRequests, "", client)
		return
	}
	if !ok {
		return // nobody is there any more
	}
	conn.know(client.Account)
	class, kind, of := &h.bounds.Strangers, "of strangers", client.Addr
	if client.Account != "" {
		class, kind, of = &h.bounds.Known, "of accounts", client.Account
	}
	size := r.ContentLength
	switch {
	case size > class.Body:
		refuse(w, http.StatusRequestEntityTooLarge,
			"The request is longer than "+strconv.FormatInt(class.Body, 10)+" bytes.", client)
		return
	case size < 0: // as long as it turns out to be
		size = class.Body
	}
	release, full := h.shares.Take(
		Claim{"requests " + kind, of, 1, class.Each.Requests}, Claim{"requests " + kind, "", 1,
			class.All.Requests},
		Claim{"bytes " + kind, of, size, class.Each.Bytes}, Claim{"bytes " + kind, "", size, class.All.Bytes})
	if release == nil && full.Of == "" { // used up by others
		release, full = h.shares.Take(Claim{"reserve " + kind, of, 1, 1}, Claim{"reserve " + kind, "", 1,
			class.All.Requests})
	}
	if release == nil {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		refuse(w, http.StatusTooManyRequests,
			"Too much is under way ("+full.String()+"). Wait a moment, then try again.", client)
		return
	}
	release = sync.OnceFunc(release)
	defer release()
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Now().Add(class.Write)) // not every writer has deadlines: those that come from the network do
	if r.Body != nil && r.ContentLength != 0 {
		_ = out.SetReadDeadline(time.Now().Add(class.Read))
		r.Body = &body{ReadCloser: http.MaxBytesReader(w, r.Body, class.Body), out: out}
	}
	ctx := context.WithValue(WithClient(r.Context(), client), releaseKey{}, release)
	h.next.ServeHTTP(w, r.WithContext(ctx))
	if r.ProtoMajor > 1 {
		_ = out.Flush() // else the last of the answer waits for its reader after all is given back
	}
}

type releaseKey struct{}

// Detach gives back what the request of a context has taken of a handler's budgets. It is for what
// lasts and is counted by whoever serves it.
func Detach(ctx context.Context) {
	if release, ok := ctx.Value(releaseKey{}).(func()); ok {
		release()
	}
}

// allow counts one more request of a stranger, or refuses it.
func (h *handler) allow(addr string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rates.allow(addr, time.Now())
}

// client asks who makes a request, when it is its turn.
func (h *handler) client(r *http.Request) (c Client, ok bool) {
	addr := AddrOf(r.RemoteAddr)
	if h.looks.Enter(r.Context()) != nil {
		return Client{Addr: addr}, false
	}
	defer h.looks.Leave()
	c = h.who(r)
	c.Addr = addr
	return c, true
}

// refuse answers at once and ends the connection, so that whoever goes on asking has to begin anew.
// A stranger gets no text: in HTTP/2 it would wait until the other side makes room for it.
func refuse(w http.ResponseWriter, status int, text string, to Client) {
	out := http.NewResponseController(w)
	soon := time.Now().Add(time.Second)
	_ = out.SetReadDeadline(soon) // for what an HTTP/1.1 server reads of a body that nobody wanted
	_ = out.SetWriteDeadline(soon)
	w.Header().Set("Connection", "close")
	if to.Account == "" {
		w.WriteHeader(status)
		return
	}
	http.Error(w, text, status)
}

// body ends the deadline of a request's body when it has come: it would end the handler's work
// otherwise, since the server reads on to learn whether the client is still there.
type body struct {
	io.ReadCloser
	out *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.out.SetReadDeadline(time.Time{})
	}
	return n, err
}
