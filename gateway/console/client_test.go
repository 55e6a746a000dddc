package console_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console"
	"latchkey/gateway/limit"
)

// looks passes calls of the API on, and counts those that ask for which account a request is
// counted.
type looks struct {
	next http.Handler

	mu sync.Mutex
	n  int // guarded by mu
}

func (l *looks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == api.GetClient.Path {
		l.mu.Lock()
		l.n++
		l.mu.Unlock()
	}
	l.next.ServeHTTP(w, r)
}

func (l *looks) take() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, l.n = l.n, 0
	return n
}

// The account of a request for a page is remembered for a minute, because the page itself finds out
// who is signed in. For other requests it is asked again after two seconds. When a sign-in has
// ended, the next page makes its requests count as a stranger's.
func TestWhoseRequestItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCastle(t)
		c.must("POST", "/v1/accounts", `{"name":"al","role":"viewer","password":"`+password+`"}`, nil)
		var al api.Account
		c.must("GET", "/v1/accounts/al", "", &al)
		known, stranger := limit.Client{Account: string(al.ID)}, limit.Client{}

		asked := &looks{next: c.site}
		site, err := console.New(console.Config{API: asked})
		if err != nil {
			t.Fatal(err)
		}
		c.console = site
		b := c.newClient("192.0.2.1:1")
		b.post("/sign-in", "name", "al", "password", password)
		request := func(path string) *http.Request {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://door.example"+path, nil)
			for name, value := range b.cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			return r
		}
		whose := func(path string, want limit.Client, looks int) {
			t.Helper()
			asked.take()
			got := site.Client(request(path))
			if n := asked.take(); got != want || n != looks {
				t.Errorf("%s: got %+v after %d looks, want %+v after %d", path, got, n, want, looks)
			}
		}

		const moment, minute = 2 * time.Second, time.Minute
		whose("/people", known, 1)
		whose("/static/console.js", known, 0)
		time.Sleep(moment)
		whose("/static/console.js", known, 1)
		time.Sleep(moment)
		whose("/people", known, 0)
		whose("/people/ann", known, 0)
		whose("/api/v1/status", known, 1)
		time.Sleep(minute)
		whose("/people", known, 1)

		time.Sleep(minute - time.Second)
		// this page finds out again who is signed in
		site.ServeHTTP(httptest.NewRecorder(), request("/account"))
		time.Sleep(minute - time.Second)
		whose("/people", known, 0)

		c.must("POST", "/v1/accounts/al/sign-out", "", nil)
		site.ServeHTTP(httptest.NewRecorder(), request("/people"))
		whose("/people", stranger, 1)
		whose("/people", stranger, 1)
	})
}
