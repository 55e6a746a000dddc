package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/store"
)

// newHandler returns the admin API over a real store in memory.
func newHandler(t *testing.T, set ...func(*admin.Config)) *admin.Handler {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Check(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := admin.Config{Store: s, GatewayAddrs: []string{"door.example:5684"}, Version: "test"}
	cfg.Website.SignIns = s
	for _, f := range set {
		f(&cfg)
	}
	return admin.New(cfg)
}

// serveOnMachine serves every request as that of somebody on the gateway's machine.
func serveOnMachine(h http.Handler) http.Handler { return account.As(account.NewUnixPeer("tester"), h) }

// serve serves a handler on a TCP port of this machine, and returns a function that sends requests
// there.
func serve(t *testing.T, h http.Handler) client.Send {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close) // waits for every request
	return sendTo(t, s, func(c net.Conn) net.Conn { return c })
}

// sendTo returns a function that sends requests to a server, on connections that pass through wrap.
func sendTo(t *testing.T, s *httptest.Server, wrap func(net.Conn) net.Conn) client.Send {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return (&http.Client{Transport: transport}).Do
}

// runBothWays runs a test in the same process as the API, and over a network.
func runBothWays(t *testing.T, f func(t *testing.T, send client.Send)) {
	t.Run("in process", func(t *testing.T) {
		f(t, client.InProcess(serveOnMachine(newHandler(t))).RoundTrip)
	})
	t.Run("over a network", func(t *testing.T) { f(t, serve(t, serveOnMachine(newHandler(t)))) })
}

func call[In, Out any](t *testing.T, send client.Send, op api.Operation[In, Out], in In) Out {
	t.Helper()
	out, err := client.Call(t.Context(), send, op, in)
	if err != nil {
		t.Fatalf("%s %+v: %v", op.ID, in, err)
	}
	return out
}

// A record is found under its name, whatever characters the name has. Only a record with the name
// "/" is found by its id alone, because http.ServeMux takes %2F for the slash at the end of a path.
func TestNamesInPaths(t *testing.T) {
	runBothWays(t, func(t *testing.T, send client.Send) {
		staff := call(t, send, api.AddGroup, api.With(api.NewGroup{Name: "staff"}))
		for _, name := range []string{"ann", "a/b", "//", ".", "..", "../..", "a/../b", "%", "%2F", "%zz",
			"100 %", "a b", "a+b", "a?b=c", "a#b", "a;b", "a&b", `a\b`, `"a"`, "{ref}", "a:b", "*",
			"Zoë", "Ünal", "李四", "👩"} {
			made := call(t, send, api.AddPerson, api.With(api.NewPerson{Name: name}))
			if got := call(t, send, api.GetPerson, api.At(name)); got.ID != made.ID || got.Name != name {
				t.Errorf("%q: got %+v, want %+v", name, got, made)
			}
			in := api.MemberInput{ByRef: api.At(staff.ID), Member: name}
			members := call(t, send, api.JoinGroup, in).Members
			if len(members) != 1 || members[0].ID != made.ID {
				t.Errorf("%q: got the members %v, want the one", name, members)
			}
			call(t, send, api.RemovePerson, api.At(name))
			if got := call(t, send, api.ListPersons, api.ListQuery{}); len(got.Items) != 0 {
				t.Errorf("%q: got %v after it was removed, want nobody", name, got.Items)
			}
		}
	})
}

// A name cannot turn a request into another one.
func TestNamesStayInTheirPlace(t *testing.T) {
	for in, want := range map[string]string{"ann": "/v1/persons/ann", "..": "/v1/persons/%2E%2E",
		"a/b c?": "/v1/persons/a%2Fb%20c%3F", "": "/v1/persons/", "{ref}": "/v1/persons/%7Bref%7D",
		"x?y#z": "/v1/persons/x%3Fy%23z", "a\r\nHost: b": "/v1/persons/a%0D%0AHost:%20b"} {
		r, err := client.NewRequest(t.Context(), api.GetPerson, api.At(in))
		if err != nil || r.URL.RequestURI() != want || r.Method != http.MethodGet || r.Body != nil {
			t.Errorf("%q: got %s %s, %v, want %s", in, r.Method, r.URL.RequestURI(), err, want)
		}
	}
	r, err := client.NewRequest(t.Context(), api.LeaveGroup,
		api.MemberInput{ByRef: api.At("{member}"), Member: "a/b"})
	if want := "/v1/groups/%7Bmember%7D/members/a%2Fb"; err != nil || r.URL.RequestURI() != want {
		t.Errorf("got %v, %v, want %s", r.URL, err, want)
	}
	_, err = client.Call(t.Context(), client.InProcess(serveOnMachine(newHandler(t))).RoundTrip,
		api.GetPerson, api.At(""))
	if p := (*client.Problem)(nil); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("an empty name: got %v, want 404", err)
	}
}

// A zero value is left out of a query, and the API treats a missing parameter the same way.
func TestZeroValuesInQueries(t *testing.T) {
	runBothWays(t, func(t *testing.T, send client.Send) {
		for _, name := range []string{"ann", "bob", "eve"} {
			call(t, send, api.AddPerson, api.With(api.NewPerson{Name: name}))
		}
		var query string
		spy := func(r *http.Request) (*http.Response, error) {
			query = r.URL.RawQuery
			return send(r)
		}
		for _, tt := range []struct {
			name  string
			in    api.EventQuery
			query string
			want  int
		}{
			{"all zero", api.EventQuery{}, "", 3},
			{"from", api.EventQuery{From: 3}, "from=3", 1},
			{"from and limit", api.EventQuery{From: 1, Limit: 2}, "from=1&limit=2", 2},
			{"the newest", api.EventQuery{Limit: 1}, "limit=1", 1},
			{"since", api.EventQuery{Since: time.Date(2026, 11, 23, 9, 0, 0, 5, time.FixedZone("", 3600))},
				"since=2026-11-23T08%3A00%3A00.000000005Z", 3},
			{"since the future", api.EventQuery{Since: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)},
				"since=9000-01-01T00%3A00%3A00Z", 0},
		} {
			got := call(t, spy, api.ListEvents, tt.in)
			if query != tt.query {
				t.Errorf("%s: asked with %q, want %q", tt.name, query, tt.query)
			}
			if len(got.Items) < tt.want || tt.want < 3 && len(got.Items) != tt.want {
				t.Errorf("%s: got %d events, want %d", tt.name, len(got.Items), tt.want)
			}
		}
		if got := call(t, spy, api.ListCards, api.CardFilter{}); query != "" || got.Items == nil {
			t.Errorf("asked with %q: got %v, want all cards", query, got)
		}
		_, err := client.Call(t.Context(), spy, api.ListCards, api.CardFilter{Person: "a & b=c"})
		if err == nil || query != "person=a+%26+b%3Dc" {
			t.Errorf("asked with %q: got %v, want that there is nobody with that name", query, err)
		}
	})
}

// A refusal says what is wrong.
func TestProblems(t *testing.T) {
	runBothWays(t, func(t *testing.T, send client.Send) {
		ann := api.With(api.NewPerson{Name: "ann"})
		call(t, send, api.AddPerson, ann)
		for _, tt := range []struct {
			name string
			call func() error
			want client.Problem
		}{
			{"taken", func() error {
				_, err := client.Call(t.Context(), send, api.AddPerson, ann)
				return err
			}, client.Problem{Status: http.StatusConflict, Title: "Conflict", Detail: "the name is taken"}},
			{"not there", func() error {
				_, err := client.CallRaw(t.Context(), send, api.GetPerson, api.At("eve"))
				return err
			}, client.Problem{Status: http.StatusNotFound, Title: "Not Found", Detail: "eve"}},
			{"nothing to stream", func() error {
				_, err := client.Open(t.Context(), send, api.StreamEvents, api.StreamInput{})
				return err
			}, client.Problem{Status: http.StatusServiceUnavailable, Type: api.TypeNoGateway,
				Title: "Service Unavailable", Detail: "latchkey serve"}},
		} {
			var got *client.Problem
			err := tt.call()
			if !errors.As(err, &got) {
				t.Errorf("%s: got %v, want a problem", tt.name, err)
				continue
			}
			if got.Status != tt.want.Status || got.Type != tt.want.Type && tt.want.Type != "" ||
				got.Title != tt.want.Title || got.RetryAfter != 0 || got.Error() != got.Detail ||
				!strings.Contains(got.Detail, tt.want.Detail) {
				t.Errorf("%s: got %+v, want %+v", tt.name, *got, tt.want)
			}
		}
	})
}

// After too many guesses, the refusal says how long to wait.
func TestProblemSaysWhenToAskAgain(t *testing.T) {
	h := newHandler(t)
	call(t, client.InProcess(serveOnMachine(h)).RoundTrip, api.AddAccount,
		api.With(api.NewAccount{Name: "oz", Role: "owner", Password: "seven green birds"}))
	website := client.InProcess(h.Visitors())
	visitor := func(r *http.Request) (*http.Response, error) {
		in := httptest.NewRequest(http.MethodGet, "https://door.example/", nil)
		in.RemoteAddr = "203.0.113.9:4000"
		account.Describe(r.Header, in, nil)
		return website.RoundTrip(r)
	}
	guess := api.With(api.Credentials{Name: "oz", Password: "wrong wrong wrong"})
	for range 20 {
		_, err := client.Call(t.Context(), visitor, api.SignIn, guess)
		var p *client.Problem
		if !errors.As(err, &p) {
			t.Fatalf("got %v, want a problem", err)
		}
		if p.Status == http.StatusUnauthorized && p.RetryAfter == 0 {
			continue
		}
		if p.Status != http.StatusTooManyRequests || p.Type != account.TypeWait ||
			p.RetryAfter < time.Minute || p.RetryAfter > 15*time.Minute {
			t.Errorf("got %+v, want a wait of some minutes", *p)
		}
		return
	}
	t.Error("got no wait after 20 guesses")
}

// An answer that is not JSON is an error, whether it comes from the API or from a proxy in front of
// it.
func TestAnswersThatAreNoJSON(t *testing.T) {
	metrics := func(c *admin.Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "latchkey_sessions 0\n")
		})
	}
	send := serve(t, serveOnMachine(newHandler(t, metrics)))
	if raw, err := client.CallRaw(t.Context(), send, api.GetMetrics, api.Nothing{}); err != nil ||
		string(raw) != "latchkey_sessions 0" {
		t.Errorf("got %q, %v, want the answer unchanged", raw, err)
	}
	out, err := client.Call(t.Context(), send, api.GetMetrics, api.Nothing{})
	if err == nil || out != "" || !strings.Contains(err.Error(), "not of this version") {
		t.Errorf("got %q, %v, want an error", out, err)
	}
	if p := (*client.Problem)(nil); errors.As(err, &p) {
		t.Errorf("got %+v, want another error, as nothing was refused", *p)
	}

	gone := httptest.NewServer(nil)
	gone.Close()
	behind, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><h1>Bad Gateway</h1>")
	}
	_, err = client.Call(t.Context(), serve(t, proxy), api.ListPersons, api.ListQuery{})
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != http.StatusBadGateway ||
		p.Detail != "the admin API answered 502 Bad Gateway" {
		t.Errorf("got %v, want a problem that says who answered", err)
	}
}

// shortConn is a connection that ends after so many bytes of answers.
type shortConn struct {
	net.Conn
	left *atomic.Int64
}

func (c shortConn) Read(b []byte) (int, error) {
	left := c.left.Load()
	if left == 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// An answer that ends too early is an error, wherever it ends.
func TestAnswersThatEndTooEarly(t *testing.T) {
	h := serveOnMachine(newHandler(t))
	for _, name := range []string{"ann", "bob"} {
		call(t, client.InProcess(h).RoundTrip, api.AddPerson, api.With(api.NewPerson{Name: name}))
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	list := func(bytes int64) (raw []byte, left int64, err error) {
		var limit atomic.Int64
		limit.Store(bytes)
		send := sendTo(t, server, func(c net.Conn) net.Conn { return shortConn{c, &limit} })
		raw, err = client.CallRaw(t.Context(), send, api.ListPersons, api.ListQuery{})
		return raw, limit.Load(), err
	}
	const enough = 1 << 20
	whole, left, err := list(enough)
	if err != nil {
		t.Fatal(err)
	}
	size := enough - left
	for bytes := int64(1); bytes < size; bytes += 7 {
		if raw, _, err := list(bytes); err == nil {
			t.Errorf("%d bytes of %d: got %q, want an error", bytes, size, raw)
		}
	}
	if raw, _, err := list(size); err != nil || string(raw) != string(whole) {
		t.Errorf("all %d bytes: got %q, %v, want %q", size, raw, err, whole)
	}
}

// A caller that cancels gets context.Canceled, and the API stops working for it.
func TestCanceledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := serveOnMachine(newHandler(t))
	send := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel() // while the API waits for an event
		h.ServeHTTP(w, r)
	}))
	next := api.EventQuery{From: 1000, Wait: 60}
	began := time.Now()
	_, err := client.Call(ctx, send, api.ListEvents, next)
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*client.Problem)) {
		t.Errorf("got %v, want that it was canceled", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}

	asked := false
	_, err = client.Call(ctx, func(r *http.Request) (*http.Response, error) {
		asked = r.Context().Err() == nil
		return send(r)
	}, api.ListPersons, api.ListQuery{})
	if !errors.Is(err, context.Canceled) || asked {
		t.Errorf("canceled before: got %v, want context.Canceled and no request", err)
	}
}
