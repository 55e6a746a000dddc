package console_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"

	"latchkey/coapres/device"
	"latchkey/gateway"
	"latchkey/gateway/certificate"
	"latchkey/gateway/clock"
	"latchkey/gateway/console/webtest"
	"latchkey/gateway/store"
	"latchkey/gateway/website/child"
	"latchkey/keys"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == child.Command {
		os.Exit(child.Main())
	}
	os.Exit(webtest.Run(m))
}

const (
	password = "correct horse battery"
	annsCard = "04a1b2c3d4e580"
)

// house is a gateway with its console, a store on disk, a door, a lamp, and simulated nodes over
// real DTLS.
type house struct {
	t     *testing.T
	gw    *gateway.Gateway
	store *store.Store
	url   string // https://localhost:PORT
	api   http.Client
	lock  *device.Device
	lamp  *device.Device
	door  *device.Device // its reader
	ahead *atomic.Int64  // how far the clock of sign-ins is ahead, in ns
}

// newHouse makes a house with an account "owner". local are the networks from which doors open
// without a second step.
func newHouse(t *testing.T, local ...string) *house {
	t.Helper()
	return furnish(newEmptyHouse(t, local...))
}

func furnish(h *house) *house {
	h.t.Helper()
	h.must("POST", "/v1/accounts", `{"name":"owner","role":"owner","password":"`+password+`"}`, nil)
	h.must("POST", "/v1/targets", `{"name":"front-door","kind":"door","pulse":"2s"}`, nil)
	h.must("POST", "/v1/targets", `{"name":"hall","kind":"lamp"}`, nil)
	h.must("POST", "/v1/persons", `{"name":"ann"}`, nil)
	h.must("POST", "/v1/cards", `{"person":"ann","uid":"`+annsCard+`"}`, nil)
	h.must("POST", "/v1/grants", `{"person":"ann","target":"front-door"}`, nil)
	h.door = h.enrolNode("front-reader", "reader", "front-door")
	h.lock = h.enrolNode("front-lock", "lock", "front-door")
	h.lamp = h.enrolNode("hall-lamp", "lamp", "hall")
	h.eventually("the lock's and the lamp's state are known", func() bool {
		var s api.Status
		h.must("GET", "/v1/status", "", &s)
		known := 0
		for _, d := range s.Devices {
			if d.Known {
				known++
			}
		}
		return known == 2
	})
	return h
}

// newEmptyHouse makes a house without accounts, doors and people.
func newEmptyHouse(t *testing.T, local ...string) *house {
	t.Helper()
	return newEmptyHouseOn(t, store.Options{}, local...)
}

func newEmptyHouseOn(t *testing.T, opts store.Options, local ...string) *house {
	t.Helper()
	dir := t.TempDir()
	opts.Dir = filepath.Join(dir, "data")
	st, err := store.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ahead := new(atomic.Int64)
	cfg := gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC,
		Announce: []string{"127.0.0.1:5684"},
		Console: &gateway.ConsoleConfig{Listen: "127.0.0.1:0", Certificate: writeCertificate(t, dir),
			Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}}
	for _, s := range local {
		cfg.Console.Local = append(cfg.Console.Local, netip.MustParsePrefix(s))
	}
	gw, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gw.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if err := st.Check(context.Background()); err != nil {
			t.Errorf("store: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("store: %v", err)
		}
	})
	return &house{t: t, ahead: ahead, gw: gw, store: st, url: strings.TrimSuffix(gw.ConsoleURL(), "/"),
		api: http.Client{Transport: client.InProcess(gw.AdminHandler())}}
}

// withClock returns the house and a function that sets the clock of its sign-ins ahead.
func (h *house) withClock() (same *house, set func(ahead time.Duration)) {
	return h, func(d time.Duration) { h.ahead.Store(int64(d)) }
}

// writeCertificate writes the certificate that the test's browser trusts.
func writeCertificate(t *testing.T, dir string) certificate.Config {
	t.Helper()
	c := webtest.Certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := certificate.Config{Dir: dir, CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir,
		"key.pem")}
	var chain []byte
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	for name, b := range map[string][]byte{cfg.CertFile: chain,
		cfg.KeyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

// must calls the admin API as somebody on the machine. The call must succeed.
func (h *house) must(method, path, body string, out any) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, "http://latchkey"+path,
		strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := h.api.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		h.t.Fatalf("%s %s: got %s %s, %v", method, path, resp.Status, b, err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			h.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// enrolNode enrols a device, and runs it until the test ends.
func (h *house) enrolNode(name, kind, target string) *device.Device {
	h.t.Helper()
	var got api.Enrolled
	h.must("POST", "/v1/devices", `{"name":"`+name+`","kind":"`+kind+`","targets":["`+target+`"]}`, &got)
	return h.runNode(got.Bundle)
}

func (h *house) runNode(b api.Bundle) *device.Device {
	h.t.Helper()
	secret, err := keys.ParseSecret(b.Secret)
	if err != nil {
		h.t.Fatal(err)
	}
	d := device.New(device.Config{Name: b.Device, Kind: b.Kind, Gateway: h.gw.Addr().String(),
		Identity: b.Identity, Secret: secret,
		Retry: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(ctx); err != nil {
			h.t.Errorf("%s: %v", b.Device, err)
		}
	})
	h.t.Cleanup(func() { cancel(); wg.Wait() })
	ready, stop := context.WithTimeout(h.t.Context(), 15*time.Second)
	defer stop()
	if err := d.Ready(ready); err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *house) eventually(what string, f func() bool) {
	h.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			h.t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// openPage opens a tab on the console.
func (h *house) openPage(opts webtest.Options) *webtest.Page {
	h.t.Helper()
	opts.Site = h.url
	return webtest.Start(h.t).Page(h.t, opts)
}

// openSignedIn opens a tab and signs somebody in there.
func (h *house) openSignedIn(name string, opts webtest.Options) *webtest.Page {
	h.t.Helper()
	p := h.openPage(opts)
	h.signIn(p, name)
	return p
}

func (h *house) signIn(p *webtest.Page, name string) {
	h.t.Helper()
	p.Open("/sign-in")
	p.Fill("Name", name)
	p.Fill("Password", password)
	p.Click("Sign in")
	p.See("Doors")
}

// addAccount adds an account that can sign in.
func (h *house) addAccount(name, role string) {
	h.t.Helper()
	h.must("POST", "/v1/accounts", `{"name":"`+name+`","role":"`+role+`","password":"`+password+`"}`, nil)
}

// browser is an HTTP client that, unlike a real browser, sends whatever a test wants.
type browser struct {
	h *house
	http.Client
	header http.Header // of each request
}

func (h *house) newBrowser() *browser {
	h.t.Helper()
	jar := &jar{cookies: map[string]*http.Cookie{}}
	return &browser{h: h, header: http.Header{}, Client: http.Client{Jar: jar, Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: webtest.Roots(h.t)}, ForceAttemptHTTP2: true,
			MaxIdleConns: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// jar sends every cookie with every request. Tests do not depend on the rules of real cookie jars.
type jar struct{ cookies map[string]*http.Cookie }

func (j *jar) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		j.cookies[c.Name] = c
	}
}

func (j *jar) Cookies(*url.URL) (out []*http.Cookie) {
	for _, c := range j.cookies {
		out = append(out, c)
	}
	return out
}

// do sends one request and returns the answer with its body.
func (b *browser) do(method, path, form string) (*http.Response, string) {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), method, b.h.url+path, strings.NewReader(form))
	if err != nil {
		b.h.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := b.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	// The number of requests of strangers is limited; the answer says when to try again.
	if resp.StatusCode == http.StatusTooManyRequests && len(text) == 0 {
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			b.h.t.Fatalf("%s %s: 429 without the time to wait: %v", method, path, err)
		}
		time.Sleep(time.Duration(wait) * time.Second)
		return b.do(method, path, form)
	}
	return resp, string(text)
}

// signIn signs somebody in.
func (b *browser) signIn(name string) *browser {
	b.h.t.Helper()
	resp, text := b.do("POST", "/sign-in", url.Values{"name": {name}, "password": {password}}.Encode())
	if resp.StatusCode != http.StatusSeeOther {
		b.h.t.Fatalf("sign in: got %s %s", resp.Status, text)
	}
	return b
}
