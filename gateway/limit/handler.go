package limit

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Budget bounds what is under way at one time: requests, and bytes of their bodies.
type Budget struct{ Requests, Bytes int64 }

// Class is the bounds for strangers, or for people who are signed in.
type Class struct {
	All   Budget        // when used up, each address or account still has one of as many in reserve
	Each  Budget        // of one address, or of one account
	Body  int64         // bytes of one request's body
	Read  time.Duration // longest time to read a body
	Write time.Duration // longest time to write an answer; the handler may set another deadline
	// Rate and EachRate bound the requests per second, in all and of one address. Twice as many may
	// come at once; 0 means no bound. They are for strangers: an account is bounded only by what it
	// has under way.
	Rate, EachRate int
}

// Requests are a handler's bounds. Strangers and people who are signed in have separate budgets,
// even behind one address.
type Requests struct{ Strangers, Known Class }

// handler is what [NewHandler] returns.
type handler struct {
	next   http.Handler
	who    func(*http.Request) Client
	bounds Requests
	shares Shares
	looks  Gate // entered for the call of who

	mu    sync.Mutex
	rates rates // of strangers' requests; guarded by mu
}

// looksAtOnce is how many requests are identified at one time. Until then nobody's budget pays for
// them. Waiting requests use no CPU.
const looksAtOnce = 2

// retryAfter is the Retry-After in seconds when a share is used up.
const retryAfter = 2

// NewHandler returns a handler that bounds the requests to next. who returns the account of a
// request, and its token. who must be cheap, because it is called before anything is bounded, and
// must not read the body. next finds the client in the request's context.
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
		return // the client has gone
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
	case size < 0: // unknown length: count the longest
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
	_ = out.SetWriteDeadline(time.Now().Add(class.Write)) // some writers have no deadlines
	if r.Body != nil && r.ContentLength != 0 {
		_ = out.SetReadDeadline(time.Now().Add(class.Read))
		r.Body = &body{ReadCloser: http.MaxBytesReader(w, r.Body, class.Body), out: out}
	}
	ctx := context.WithValue(WithClient(r.Context(), client), releaseKey{}, release)
	h.next.ServeHTTP(w, r.WithContext(ctx))
	if r.ProtoMajor > 1 {
		_ = out.Flush() // write the end of the answer before the budget is given back
	}
}

type releaseKey struct{}

// Detach gives back what the request of a context holds of a handler's budgets. It is for
// long-lived requests that their own handler counts.
func Detach(ctx context.Context) {
	if release, ok := ctx.Value(releaseKey{}).(func()); ok {
		release()
	}
}

// allow counts a stranger's request, or refuses it.
func (h *handler) allow(addr string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rates.allow(addr, time.Now())
}

// client identifies the client of a request, when it is the request's turn.
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

// refuse answers at once and ends the connection, so that the client needs a new connection for its
// next request. A stranger gets no text: in HTTP/2 a text would wait until the other side reads it.
func refuse(w http.ResponseWriter, status int, text string, to Client) {
	out := http.NewResponseController(w)
	soon := time.Now().Add(time.Second)
	_ = out.SetReadDeadline(soon) // an HTTP/1.1 server reads some of an unwanted body
	_ = out.SetWriteDeadline(soon)
	w.Header().Set("Connection", "close")
	if to.Account == "" {
		w.WriteHeader(status)
		return
	}
	http.Error(w, text, status)
}

// body removes the read deadline when the whole body has come. The server reads on, to notice when
// the client leaves; the deadline would then end the handler's work.
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
