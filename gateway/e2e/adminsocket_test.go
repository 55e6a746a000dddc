package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/store"
)

// A client of the admin socket may do everything, but a script that runs wild there cannot use up
// the resources that doors need.
func TestAdminSocketIsBounded(t *testing.T) {
	s := newSite(t, store.Options{})
	ask := func(method, path string, body io.Reader) (int, func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		late := time.AfterFunc(30*time.Second, cancel)
		defer late.Stop()
		r, err := http.NewRequestWithContext(ctx, method, "http://latchkey"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
			// Otherwise the client may still be writing when it is refused.
			r.Header.Set("Expect", "100-continue")
		}
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			ExpectContinueTimeout: 20 * time.Second, DialContext: func(ctx context.Context, _,
				_ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", s.socketPath())
			}}}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return resp.StatusCode, func() { cancel(); _ = resp.Body.Close() }
	}
	want := func(status int, method, path string, body io.Reader) {
		t.Helper()
		got, end := ask(method, path, body)
		end()
		if got != status {
			t.Errorf("%s %s: got %d, want %d", method, path, got, status)
		}
	}
	var idle []net.Conn
	for range 80 {
		c, err := net.Dial("unix", s.socketPath())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		idle = append(idle, c)
	}
	want(200, "GET", "/v1/site", nil)
	_ = idle[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := idle[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the oldest of 80 connections: got %v, want it closed", err)
	}
	want(413, "POST", "/v1/persons", strings.NewReader(`{"name":"`+strings.Repeat("x", 1<<20)+`"}`))
	want(200, "GET", "/v1/site", nil)
	for i := range 12 {
		got, end := ask("GET", "/v1/events/stream", nil)
		defer end()
		if got != 200 {
			t.Errorf("stream %d: got %d", i, got)
		}
	}
	want(429, "GET", "/v1/events/stream", nil)
	want(200, "GET", "/v1/site", nil)
}
