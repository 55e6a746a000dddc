package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"latchkey/keys"
)

// website checks that an owner can make an account, switch the lamp and open the door, and that a
// stranger cannot.
func website(ctx context.Context, h *House) string {
	b, err := newBrowser(h)
	if err != nil {
		return err.Error()
	}
	defer b.CloseIdleConnections()
	if h.await(ctx, func() bool { return !h.nodes[Lock].State().On }) != nil { // after the last tap
		return "the door is still open"
	}
	moves := h.nodes[Lock].Moves()
	if status, err := b.post(ctx, "doors/"+Door+"/unlock", nil); err != nil ||
		status != http.StatusUnauthorized || h.nodes[Lock].Moves() != moves {
		return fmt.Sprintf("somebody without an account got %d (%v)", status, err)
	}
	h.out.printf("  without an account: refused, nothing moved\n")
	password := keys.Random(26)
	if status, err := b.post(ctx, "setup", url.Values{"code": {h.code}, "name": {"owner"},
		"password": {password}, "repeat": {password}}); err != nil || status != http.StatusOK {
		return fmt.Sprintf("the set-up code made no account: got %d (%v)", status, err)
	}
	h.out.printf("  the set-up code made an owner\n")
	for _, action := range []string{"on", "off"} {
		began := time.Now()
		if status, err := b.post(ctx, "lamps/"+Lamp, url.Values{"action": {action}}); err != nil ||
			status != http.StatusOK {
			return fmt.Sprintf("the lamp was not switched %s: got %d (%v)", action, status, err)
		}
		took := time.Since(began)
		if h.shows(ctx, func() bool { return h.nodes[Bulb].State().On == (action == "on") }) != nil {
			return "the lamp is not " + action
		}
		h.out.printf("  %-13s %8.2f ms            with the page\n", "lamp "+action, ms(took))
	}
	began := time.Now()
	if status, err := b.post(ctx, "doors/"+Door+"/unlock", nil); err != nil || status != http.StatusOK {
		return fmt.Sprintf("the door was not unlocked: got %d (%v)", status, err)
	}
	took := time.Since(began)
	if h.shows(ctx, func() bool {
		return h.nodes[Lock].Moves() == moves+1 &&
			h.nodes[Lock].State().On
	}) != nil {
		return "the door is not open"
	}
	h.out.printf("  %-13s %8.2f ms            with the page\n", "door open", ms(took))
	if h.await(ctx, func() bool { return !h.nodes[Lock].State().On }) != nil {
		return "the door did not shut by itself"
	}
	return ""
}

// browser is somebody at the demo's website.
type browser struct {
	http.Client
	url string
}

func newBrowser(h *House) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.gw.ConsoleCertificate().CA())
	return &browser{http.Client{Jar: jar, Timeout: h.cast.patience(),
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, h.gw.ConsoleURL()}, nil
}

// post sends a form, follows to where it leads and returns the status of the page there.
func (b *browser) post(ctx context.Context, path string, form url.Values) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
