package admin_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
)

func newRecipient(t *testing.T) (backup.Identity, string) {
	t.Helper()
	id, to, err := backup.NewPassing()
	if err != nil {
		t.Fatal(err)
	}
	return id, to
}

// The file is a backup for those who were named, and the header says what it is.
func TestMakeBackup(t *testing.T) {
	s := newSite(t)
	s.must("POST", "/v1/persons", `{"name":"ann"}`, nil)
	id, to := newRecipient(t)
	for _, kind := range []string{"full", "policy", "events"} {
		body := fmt.Sprintf(`{"recipients":[%q],"kind":%q,"from":1}`, to, kind)
		if kind != "events" {
			body = strings.Replace(body, `,"from":1`, "", 1)
		}
		code, text := s.do("POST", "/v1/backup", body)
		if code != http.StatusOK {
			t.Fatalf("%s: got %d %s", kind, code, text)
		}
		r, err := backup.Open(strings.NewReader(text), id)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, err := r.Verify(t.Context(), backup.Expected{}); err != nil || string(r.Header.Kind) != kind {
			t.Errorf("%s: got %+v, %v", kind, r.Header, err)
		}
		seq, _ := s.store.Head()
		evs, err := s.store.Events(t.Context(), seq, 1)
		if err != nil || len(evs) != 1 || evs[0].Kind != audit.EventBackup || evs[0].Actor != "tester" ||
			evs[0].Detail != kind+", for 1 recipient" || r.Header.Head != seq {
			t.Errorf("%s: got %+v, %v in a backup up to event %d", kind, evs, err, r.Header.Head)
		}
		if r.Header.Program != "test" || r.Header.Head == 0 {
			t.Errorf("%s: got %+v", kind, r.Header)
		}
	}
	secret := "AGE-SECRET-KEY-1QQQ"
	for _, bad := range []string{`{}`, `{"recipients":[],"kind":"full"}`,
		`{"recipients":["` + secret + `"],"kind":"full"}`, fmt.Sprintf(`{"recipients":[%q],"kind":"some"}`, to),
		fmt.Sprintf(`{"recipients":[%q],"kind":"events"}`, to),
		fmt.Sprintf(`{"recipients":[%q],"kind":"events","from":99}`, to)} {
		code, text := s.do("POST", "/v1/backup", bad)
		if code != http.StatusUnprocessableEntity || strings.Contains(text, secret) {
			t.Errorf("%s: got %d %s", bad, code, text)
		}
	}
}

// newBigStore is a store whose backup fits no buffer on its way.
func newBigStore(t *testing.T) (*store.Store, *admin.Handler) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	done := make(chan error)
	const events = 3000 // 5 MB that do not compress
	for range events {
		go func() {
			noise := make([]byte, 1900)
			_, _ = rand.Read(noise)
			detail := hex.EncodeToString(noise)
			_, err := s.Record(t.Context(), audit.Event{Kind: audit.EventReport, Detail: detail})
			done <- err
		}()
	}
	for range events {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	return s, admin.New(admin.Config{Store: s})
}

// bothWays runs a test in this process and over a connection.
func bothWays(t *testing.T, h http.Handler, f func(t *testing.T, send client.Send)) {
	own := account.As(account.NewUnixPeer("tester"), h)
	t.Run("in process", func(t *testing.T) { f(t, client.InProcess(own).RoundTrip) })
	t.Run("over a connection", func(t *testing.T) {
		server := httptest.NewServer(own)
		t.Cleanup(server.Close)
		f(t, func(r *http.Request) (*http.Response, error) {
			r.URL.Host = strings.TrimPrefix(server.URL, "http://")
			return server.Client().Do(r)
		})
	})
}

// There is one backup at a time, and one that nobody reads any more makes room for the next.
func TestOneBackupAtATime(t *testing.T) {
	_, h := newBigStore(t)
	_, to := newRecipient(t)
	in := api.With(api.NewBackup{Recipients: []string{to}, Kind: "full"})
	bothWays(t, h, func(t *testing.T, send client.Send) {
		first, err := client.Open(t.Context(), send, api.MakeBackup, in)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Open(t.Context(), send, api.MakeBackup, in)
		if p := (*client.Problem)(nil); !errors.As(err, &p) || p.Status != http.StatusTooManyRequests {
			t.Errorf("got %v, want 429", err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			next, err := client.Open(t.Context(), send, api.MakeBackup, in)
			if err == nil {
				if _, err := io.Copy(io.Discard, next); err != nil {
					t.Error(err)
				}
				_ = next.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	})
}

// A backup that ends too early ends as an answer that was cut off, so that nobody keeps a part for
// the whole.
func TestBackupCutOff(t *testing.T) {
	for _, way := range []int{0, 1} {
		s, h := newBigStore(t)
		_, to := newRecipient(t)
		at := -1
		bothWays(t, h, func(t *testing.T, send client.Send) {
			if at++; at != way { // a closed store serves one test
				return
			}
			in := api.With(api.NewBackup{Recipients: []string{to}, Kind: "full"})
			body, err := client.Open(t.Context(), send, api.MakeBackup, in)
			if err != nil {
				t.Fatal(err)
			}
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			for ctx := t.Context(); ; time.Sleep(time.Millisecond) { // until Close has begun
				if _, err := s.Record(ctx, audit.Event{Kind: audit.EventStop}); errors.Is(err, store.ErrClosed) {
					break
				}
			}
			if _, err := io.Copy(io.Discard, body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v, want an end that is not expected", err)
			}
			_ = body.Close()
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	}
}
