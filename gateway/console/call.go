package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

const (
	maxAnswer = 64 << 20
	callWait  = 2 * time.Minute
)

// call asks the admin API on behalf of whoever is signed in. A refusal is a [problem].
func (v *visit) call(method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), callWait)
	defer cancel()
	return v.callFor(ctx, method, path, in, out)
}

// describe hands over who the visitor is.
func (v *visit) describe(out *http.Request) {
	if v.token {
		out.Header.Set("Authorization", v.r.Header.Get("Authorization"))
		account.Describe(out.Header, v.r, nil)
		return
	}
	account.Describe(out.Header, v.r, v.cookies)
}

// takeCookies gives the browser the cookies that an answer of the API sets, and goes on with them.
func (v *visit) takeCookies(set []*http.Cookie) {
	for _, c := range set {
		v.cookies = append(slices.DeleteFunc(v.cookies,
			func(was *http.Cookie) bool { return was.Name == c.Name }), c)
		if v.w != nil {
			http.SetCookie(v.w, c)
		}
	}
}

func (v *visit) callFor(ctx context.Context, method, path string, in, out any) error {
	a := v.early[path]
	if a != nil && method == http.MethodGet {
		delete(v.early, path) // who asks again wants to know what is now
	} else {
		r, err := v.request(ctx, method, path, in)
		if err != nil {
			return err
		}
		a = &answer{}
		a.fetch(&v.api, r)
	}
	if a.done != nil {
		<-a.done // ends with the visit, at the latest
	}
	if a.err != nil {
		return fmt.Errorf("console: %w", a.err)
	}
	return v.take(a, out)
}

// answer is what the API answers.
type answer struct {
	status int
	header http.Header
	cookie []*http.Cookie
	body   []byte
	err    error
	done   chan struct{} // closed when it is there; nil: it is
}

func (a *answer) fetch(api *http.Client, r *http.Request) {
	resp, err := api.Do(r)
	if err != nil {
		a.err = err
		return
	}
	defer func() { _ = resp.Body.Close() }()
	a.status, a.header, a.cookie = resp.StatusCode, resp.Header, resp.Cookies()
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

// askEarly asks for what a page will need, all at once: the API is another process, and each
// question takes its time.
func (v *visit) askEarly(paths ...string) {
	if v.early == nil {
		v.early = map[string]*answer{}
	}
	for _, path := range paths {
		r, err := v.request(v.r.Context(), http.MethodGet, path, nil)
		if err != nil {
			continue // it is asked for again when it is needed
		}
		a := &answer{done: make(chan struct{})}
		v.early[path] = a
		go func() {
			defer close(a.done)
			a.fetch(&v.api, r)
		}()
	}
}

// request is one of the admin API, on behalf of the visitor.
func (v *visit) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("console: %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://latchkey"+path, body)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	v.describe(r)
	return r, nil
}

// take reads an answer into out. A refusal is a [problem].
func (v *visit) take(a *answer, out any) error {
	v.takeCookies(a.cookie)
	if a.status/100 != 2 {
		p := problem{Status: a.status}
		if err := json.Unmarshal(a.body, &p); err != nil || p.Detail == "" {
			p.Detail = http.StatusText(a.status)
		}
		if after := a.header.Get("Retry-After"); after != "" && v.w != nil {
			v.mustWait = true
			v.w.Header().Set("Retry-After", after)
		}
		return p
	}
	if n := a.header.Get(api.NoticeHeader); n != "" {
		v.notice = n
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("console: an answer of the API: %w", err)
	}
	return nil
}

func (v *visit) get(path string, out any) error { return v.call(http.MethodGet, path, nil, out) }

func (v *visit) post(path string, in, out any) error { return v.call(http.MethodPost, path, in, out) }

// list is an answer of the API with many records.
type list[T any] struct {
	Items []T `json:"items"`
}

func listOf[T any](v *visit, path string) ([]T, error) {
	var l list[T]
	err := v.get(path, &l)
	return l.Items, err
}
