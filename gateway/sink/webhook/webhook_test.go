package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/sink/sender"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a server that stores requests.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	took []request // guarded by mu
}

type request struct {
	Header http.Header
	Body   string
}

// startReceiver starts a TLS server. answer answers a request; nil: 204.
func startReceiver(t *testing.T, answer func(w http.ResponseWriter, r request)) *receiver {
	t.Helper()
	c := &receiver{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got := request{r.Header, string(body)}
		c.mu.Lock()
		c.took = append(c.took, got)
		c.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, got)
	}))
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *receiver) requests() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.took)
}

// sinkTo returns the sink of a server.
func sinkTo(s *httptest.Server, secrets ...keys.Hidden) sinks.Sink {
	if len(secrets) == 0 {
		secrets = []keys.Hidden{MintSecret()}
	}
	e := endpoint.Endpoint{URL: s.URL, Private: true}
	if s.TLS != nil {
		e.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	}
	return sinks.Sink{Protocol: sinks.Webhook, Endpoint: e, Secrets: secrets}
}

func newTestSender(t *testing.T, s sinks.Sink, within time.Duration) *Sender {
	t.Helper()
	out, err := newSender(s, within)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	return out
}

// messages returns messages of these numbers.
func messages(seqs ...uint64) (out []sender.Message) {
	for _, seq := range seqs {
		out = append(out, sender.Message{ID: fmt.Sprintf("1.%d", seq), Seq: seq, Kind: "decision",
			Site: "h3n8p2r5tv", Body: fmt.Appendf(nil, `{"id":"1.%d"}`, seq)})
	}
	return out
}

// The verifier of Standard Webhooks, which no program of ours contains, accepts what we sign, with
// each of two secrets while one replaces the other.
func TestSignatureVerifies(t *testing.T) {
	judge := filepath.Join(t.TempDir(), "verify")
	if out, err := exec.Command("go", "build", "-C", filepath.Join("peers", "verify"), "-o", judge,
		".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := startReceiver(t, nil)
	fresh, old := MintSecret(), MintSecret()
	s := newTestSender(t, sinkTo(c.Server, fresh, old), time.Minute)
	for _, batch := range [][]sender.Message{messages(4711), messages(4712, 4713, 4715)} {
		if taken, err := s.Send(t.Context(), batch); err != nil || taken != len(batch) {
			t.Fatalf("got %d, %v", taken, err)
		}
	}
	took := c.requests()
	if len(took) != 2 || took[1].Body != `[{"id":"1.4712"},{"id":"1.4713"},{"id":"1.4715"}]` ||
		took[0].Header.Get("Webhook-Id") != "h3n8p2r5tv-1-4711" ||
		took[1].Header.Get("Webhook-Id") != "h3n8p2r5tv-1-4712-4715" ||
		took[0].Header.Get("Content-Type") != "application/cloudevents+json" ||
		took[1].Header.Get("Content-Type") != "application/cloudevents-batch+json" {
		t.Errorf("got %v", took)
	}
	for _, secret := range []keys.Hidden{fresh, old, MintSecret()} {
		for _, r := range took {
			line, err := json.Marshal(map[string]any{"secret": secret.Reveal(), "header": r.Header,
				"body": r.Body})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(judge)
			cmd.Stdin = bytes.NewReader(line)
			out, err := cmd.CombinedOutput()
			if foreign := !secret.Equal(fresh.Secret) && !secret.Equal(old.Secret); (err != nil) != foreign {
				t.Errorf("a foreign secret: %v: got %v, %s", foreign, err, out)
			}
		}
	}
}

func TestWhatAStatusMeans(t *testing.T) {
	for code, want := range map[int]string{200: "taken", 202: "taken", 204: "taken",
		301: "halt", 302: "halt", 307: "halt", 308: "halt", 304: "halt",
		400: "refusal", 413: "refusal", 415: "refusal", 422: "refusal",
		401: "halt", 403: "halt", 404: "halt", 410: "halt",
		405: "temporary", 408: "temporary", 409: "temporary", 425: "temporary", 429: "temporary",
		500: "temporary", 502: "temporary", 503: "temporary", 599: "temporary"} {
		c := startReceiver(t, func(w http.ResponseWriter, _ request) { w.WriteHeader(code) })
		s := newTestSender(t, sinkTo(c.Server), time.Minute)
		taken, err := s.Send(t.Context(), messages(1))
		if got := outcomeOf(err); got != want || (taken == 1) != (want == "taken") {
			t.Errorf("%d: got %s, %d, %v, want %s", code, got, taken, err, want)
		}
		_ = s.Close()
		c.Close()
	}
}

func outcomeOf(err error) string {
	var r *sender.Refusal
	var h *sender.Halt
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &r):
		return "refusal"
	case errors.As(err, &h):
		return "halt"
	}
	return "temporary"
}

// A batch that is refused is sent one by one, so that only what is refused by itself is refused.
func TestRefusedBatch(t *testing.T) {
	var batches bool
	c := startReceiver(t, func(w http.ResponseWriter, r request) {
		isBatch := strings.HasPrefix(r.Body, "[")
		if isBatch && !batches || strings.Contains(r.Body, `"1.3"`) {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	})
	t.Run("one event of it", func(t *testing.T) {
		batches = true
		s := newTestSender(t, sinkTo(c.Server), time.Minute)
		taken, err := s.Send(t.Context(), messages(1, 2, 3, 4))
		if taken != 2 || outcomeOf(err) != "refusal" {
			t.Errorf("got %d, %v, want 2 and a refusal of the third", taken, err)
		}
		if taken, err := s.Send(t.Context(), messages(4, 5)); taken != 2 || err != nil || s.single {
			t.Errorf("behind it: got %d, %v, single %v, want a batch again", taken, err, s.single)
		}
	})
	t.Run("batches at all", func(t *testing.T) {
		batches = false
		s := newTestSender(t, sinkTo(c.Server), time.Minute)
		before := len(c.requests())
		for _, batch := range [][]sender.Message{messages(5, 6), messages(7, 8)} {
			if taken, err := s.Send(t.Context(), batch); taken != 2 || err != nil {
				t.Errorf("got %d, %v", taken, err)
			}
		}
		if n := len(c.requests()) - before; n != 5 {
			t.Errorf("got %d requests, want a batch once and four events", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 21, 55, 3, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "0": 0, "7": 7 * time.Second, "3600": time.Hour,
		"3601": time.Hour, "4294967295": time.Hour, "99999999999999999999": 0, "-1": 0, "+1": 0, "1.5": 0,
		"Sat, 28 Nov 2026 21:56:03 GMT": time.Minute, "Sat, 28 Nov 2026 21:54:03 GMT": 0,
		"Sat, 28 Nov 2099 21:54:03 GMT": time.Hour, "soon": 0} {
		if got := readRetryAfter(text, now); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	c := startReceiver(t, func(w http.ResponseWriter, _ request) {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := newTestSender(t, sinkTo(c.Server), time.Minute).Send(t.Context(), messages(1))
	var later *sender.Later
	if !errors.As(err, &later) || later.After != 17*time.Second {
		t.Errorf("got %v, want 17 s later", err)
	}
}

func TestSecrets(t *testing.T) {
	if err := CheckSecret(MintSecret().Reveal()); err != nil {
		t.Errorf("a minted secret: %v", err)
	}
	if a, b := MintSecret(), MintSecret(); a.Equal(b.Secret) {
		t.Error("two minted secrets are the same")
	}
	b64 := func(n int) string { return strings.Repeat("AAAA", n/3) }
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"24 bytes":             {"whsec_" + b64(24), true},
		"63 bytes":             {"whsec_" + b64(63), true},
		"21 bytes":             {"whsec_" + b64(21), false},
		"66 bytes":             {"whsec_" + b64(66), false},
		"no prefix":            {b64(24), false},
		"a line end":           {"whsec_" + b64(12) + "\n" + b64(12), false},
		"not base64":           {"whsec_" + strings.Repeat("-", 32), false},
		"no padding":           {"whsec_" + b64(24) + "AA", false},
		"bits behind the last": {"whsec_" + b64(24) + "AB==", false},
		"nothing":              {"", false},
	} {
		if err := CheckSecret(tt.text); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want ok %v", name, err, tt.ok)
		} else if err != nil && tt.text != "" && strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: the error repeats the secret", name)
		}
		s := sinks.Sink{Endpoint: endpoint.Endpoint{URL: "https://x.example"},
			Secrets: []keys.Hidden{keys.Hide(tt.text)}}
		if _, err := New(s); (err == nil) != tt.ok {
			t.Errorf("%s: a sender: got %v, want ok %v", name, err, tt.ok)
		}
	}
}

func TestCertificates(t *testing.T) {
	c := startReceiver(t, nil)
	c.TLS.ClientAuth = tls.NoClientCert
	good := sinkTo(c.Server)
	foreign := good
	foreign.Endpoint.CA = ""
	other := good
	other.Endpoint.URL = strings.Replace(good.Endpoint.URL, "127.0.0.1", "localhost", 1)
	asks := httptest.NewUnstartedServer(http.NotFoundHandler())
	asks.Config.ErrorLog = log.New(io.Discard, "", 0)
	asks.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	asks.StartTLS()
	t.Cleanup(asks.Close)
	for name, tt := range map[string]struct {
		sink sinks.Sink
		want string
	}{
		"one that we trust":                   {good, "taken"},
		"of a CA that we do not know":         {foreign, "halt"},
		"of another name":                     {other, "halt"},
		"ours is missing, and it asks for it": {sinkTo(asks), "halt"},
	} {
		taken, err := newTestSender(t, tt.sink, time.Minute).Send(t.Context(), messages(1, 2))
		if got := outcomeOf(err); got != tt.want || (err == nil) != (taken == 2) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tt.want)
		}
	}
}

// What a server sends back is never in an error, nor is what we keep secret.
func TestErrorsTellNothing(t *testing.T) {
	const canary = "canary-secret"
	check := func(name string, err error) {
		t.Helper()
		if err == nil || strings.Contains(fmt.Sprintf("%v %#v", err, err), canary) {
			t.Errorf("%s: got %v, want an error without the secret", name, err)
		}
	}
	for _, code := range []int{302, 400, 401, 500} {
		c := startReceiver(t, func(w http.ResponseWriter, r request) {
			w.Header().Set("Location", "https://x.example/"+canary)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, r.Header.Get("Authorization")+canary)
		})
		s := sinkTo(c.Server)
		s.Endpoint.User, s.Endpoint.Password = "ann", keys.Hide(canary)
		_, err := newTestSender(t, s, time.Minute).Send(t.Context(), messages(1))
		check(fmt.Sprint(code), err)
	}
	for _, text := range []string{canary, "HTTP/1.1 " + canary + " x\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n"} {
		s := answerRaw(t, func(_ context.Context, c net.Conn) { _, _ = io.WriteString(c, text) })
		_, err := newTestSender(t, s, time.Minute).Send(t.Context(), messages(1))
		check(text, err)
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	s := sinkTo(closed)
	s.Endpoint.URL += "/" + canary + "?token=" + canary
	_, err := newTestSender(t, s, time.Minute).Send(t.Context(), messages(1))
	check("nobody answers", err)
	if !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want why", err)
	}
}

// answerRaw starts a server without TLS that calls f with each connection, after the request.
func answerRaw(t *testing.T, f func(ctx context.Context, c net.Conn)) sinks.Sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_, _ = c.Read(make([]byte, 64<<10))
				f(ctx, c)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = ln.Close(); wg.Wait() })
	return sinks.Sink{Protocol: sinks.Webhook, Secrets: []keys.Hidden{MintSecret()},
		Endpoint: endpoint.Endpoint{URL: "http://" + ln.Addr().String(), Private: true}}
}

// writeUntil writes a text again and again until the other side has gone or ctx ends.
func writeUntil(ctx context.Context, c net.Conn, text string, pause time.Duration) {
	for ctx.Err() == nil {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// A server that means harm costs us one request's time and little memory.
func TestHostileServers(t *testing.T) {
	const within = time.Second
	for name, tt := range map[string]struct {
		answer func(ctx context.Context, c net.Conn)
		want   string
	}{
		"never answers": {func(ctx context.Context, _ net.Conn) { <-ctx.Done() }, "temporary"},
		"answers a byte at a time": {func(ctx context.Context, c net.Conn) {
			writeUntil(ctx, c, "H", 100*time.Millisecond)
		}, "temporary"},
		"sends a header without end": {func(ctx context.Context, c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			writeUntil(ctx, c, "X-A: "+strings.Repeat("a", 4000)+"\r\n", 0)
		}, "temporary"},
		"sends interim answers without end": {func(ctx context.Context, c net.Conn) {
			writeUntil(ctx, c, "HTTP/1.1 103 Early Hints\r\n\r\n", 0)
		}, "temporary"},
		"sends a body without end": {func(ctx context.Context, c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
			writeUntil(ctx, c, strings.Repeat("a", 1000), 0)
		}, "taken"},
		"sends a slow body": {func(ctx context.Context, c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
			writeUntil(ctx, c, "a", 100*time.Millisecond)
		}, "taken"},
		"speaks another protocol": {func(_ context.Context, c net.Conn) {
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
		}, "temporary"},
		"cuts the connection": {func(context.Context, net.Conn) {}, "temporary"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSender(t, answerRaw(t, tt.answer), within)
			begun := time.Now()
			_, err := s.Send(t.Context(), messages(1))
			if got := outcomeOf(err); got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
			if took := time.Since(begun); took > 20*within {
				t.Errorf("it took %v", took)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// A proxy of the environment could connect where we must not.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	names := startNameServer(t)
	names.lead("127.0.0.1")
	c := startReceiver(t, nil)
	s := sinkTo(c.Server)
	// A proxy is not for loopback.
	s.Endpoint.URL = strings.Replace(s.Endpoint.URL, "127.0.0.1", "example.com", 1)
	if taken, err := newTestSender(t, s, time.Minute).Send(t.Context(), messages(1)); taken != 1 ||
		err != nil {
		t.Errorf("got %d, %v", taken, err)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	s := newTestSender(t, answerRaw(t, func(ctx context.Context, _ net.Conn) { <-ctx.Done() }), time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if taken, err := s.Send(ctx, messages(1, 2)); taken != 0 || outcomeOf(err) != "temporary" {
		t.Errorf("got %d, %v", taken, err)
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add(MintSecret().Reveal())
	f.Add("whsec_AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseSecret(text)
		if err == nil && (len(key) < minSecret || len(key) > maxSecret ||
			prefix+base64.StdEncoding.EncodeToString(key) != text) {
			t.Errorf("%q parses as %x", text, key)
		}
	})
}

func FuzzReadRetryAfter(f *testing.F) {
	for _, text := range []string{"7", "Sat, 28 Nov 2026 21:56:03 GMT", "-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := readRetryAfter(text, time.Unix(1_800_000_000, 0)); got < 0 || got > maxLater {
			t.Errorf("%q: got %v", text, got)
		}
	})
}
