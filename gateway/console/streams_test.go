package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/admin/api"
)

// openStream opens a stream. Its answer must begin at once even if nothing happens. end closes it.
func (b *browser) openStream(path string) (status int, text string, end func()) {
	b.h.t.Helper()
	ctx, cancel := context.WithCancel(b.h.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.h.url+path, nil)
	if err != nil {
		b.h.t.Fatal(err)
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	late := time.AfterFunc(20*time.Second, cancel)
	defer late.Stop()
	endless := b.Client
	endless.Timeout = 0
	resp, err := endless.Do(r)
	if err != nil {
		b.h.t.Fatalf("GET %s: got no header of an answer: %v", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		text = string(body)
	}
	return resp.StatusCode, text, func() { cancel(); _ = resp.Body.Close() }
}

// All streams, of pages and of scripts, are counted together for each token, account and address.
func TestStreamsAreCounted(t *testing.T) {
	h := newHouse(t)
	h.addAccount("vera", "viewer")
	script := func(account, label string) *browser {
		var minted api.MintedToken
		h.must("POST", "/v1/accounts/"+account+"/tokens", `{"label":"`+label+`","scopes":["read"]}`, &minted)
		b := h.newBrowser()
		b.header.Set("Authorization", "Bearer "+minted.Text)
		return b
	}
	const api = "/api/v1/events/stream"
	first, second := script("vera", "one"), script("vera", "two")
	var ends []func()
	open := func(b *browser, path string, n int) {
		t.Helper()
		for i := range n {
			status, text, end := b.openStream(path)
			if status != 200 {
				t.Fatalf("%s: stream %d: got %d %s", path, i, status, text)
			}
			ends = append(ends, end)
		}
	}
	full := func(b *browser, path, why string) {
		t.Helper()
		status, text, end := b.openStream(path)
		defer end()
		if status != 429 || !strings.Contains(text, why) {
			t.Errorf("%s: got %d %s, want 429 and %q", path, status, text, why)
		}
	}
	open(first, api, 8)
	full(first, api, "8 for token")
	vera := h.newBrowser().signIn("vera")
	open(second, api, 2)
	open(vera, "/live", 2)
	full(second, api, "12 for account")
	full(vera, "/live", "Too many pages are watching")
	open(h.newBrowser().signIn("owner"), "/live", 1)
	for _, end := range ends {
		end()
	}
	h.eventually("there is room again", func() bool {
		status, _, end := first.openStream(api)
		end()
		return status == 200
	})
}

// A stream stays open even if nothing happens for longer than a write may take, also over HTTP/1.1.
func TestStreamLasts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addAccount("vera", "viewer")
	var minted api.MintedToken
	h.must("POST", "/v1/accounts/vera/tokens", `{"label":"one","scopes":["read"]}`, &minted)
	for _, http2 := range []bool{true, false} {
		t.Run(fmt.Sprintf("HTTP/2 is %v", http2), func(t *testing.T) {
			t.Parallel()
			b := h.newBrowser()
			b.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
			b.Timeout = 0
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
				h.url+"/api/v1/events/stream?from=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+minted.Text)
			resp, err := b.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			name := fmt.Sprintf("late-%v", http2)
			time.AfterFunc(35*time.Second,
				func() { h.must("POST", "/v1/persons", `{"name":"`+name+`"}`, nil) })
			for lines := json.NewDecoder(resp.Body); ; {
				var e struct{ Detail string }
				if err := lines.Decode(&e); err != nil {
					t.Fatalf("the stream ended before the event: %v", err)
				}
				if strings.Contains(e.Detail, name) {
					return
				}
			}
		})
	}
}
