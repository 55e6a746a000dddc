package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/keys"
)

// When somebody signs in, the browser gets a cookie that remembers it:
// "1.UNTIL.ACCOUNT.NONCE….MAC", with an account and a nonce for each account that has signed in
// there. The cookie grants no right and replaces no password or second step. It only selects shares
// of tries that strangers cannot use up (OWASP's "device cookies"). The nonce is new at each
// sign-in, and a share belongs to a nonce, so a thief of the cookie has few tries.

const (
	browserCookie     = "__Host-latchkey-browser"
	browserFor        = 400 * 24 * time.Hour // browsers keep a cookie no longer
	maxBrowserSignIns = 8                    // accounts; the one that signed in longest ago is forgotten first
	maxBrowserCookie  = 512                  // bytes
)

// known is an account that has signed in with a browser, and the nonce that names that browser's
// share.
type known struct{ id, nonce string }

// knownHere returns the accounts of the visitor's cookie, the latest first. It returns none if our
// signature is not on the cookie, or if the cookie has expired.
func (r *Registry) knownHere(ctx context.Context) (out []known) {
	value := visitOf(ctx).browser
	cut := strings.LastIndexByte(value, '.')
	if cut < 0 || len(value) > maxBrowserCookie ||
		!hmac.Equal([]byte(value[cut+1:]), []byte(r.signBrowser(value[:cut]))) {
		return nil
	}
	parts := strings.Split(value[:cut], ".") // the signature is ours, so the format is ours as well
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || r.now().Unix() >= until {
		return nil
	}
	for i := 2; i+1 < len(parts); i += 2 {
		out = append(out, known{parts[i], parts[i+1]})
	}
	return out
}

// knows returns the nonce of an account in this browser; empty if the account never signed in here.
func (r *Registry) knows(ctx context.Context, id access.ID) string {
	for _, k := range r.knownHere(ctx) {
		if k.id == string(id) {
			return k.nonce
		}
	}
	return ""
}

// knowsName is the same for the name of an account. It looks up only accounts that have signed in
// here.
func (r *Registry) knowsName(ctx context.Context, name string) (id access.ID, nonce string) {
	p := r.cfg.Policy()
	for _, k := range r.knownHere(ctx) {
		if a, ok := accounts.Kind.In(p)[access.ID(k.id)]; ok && a.Name == name {
			return a.ID, k.nonce
		}
	}
	return "", ""
}

// rememberBrowser sets the cookie which says that the account has signed in with this browser.
func (r *Registry) rememberBrowser(ctx context.Context, id access.ID) {
	text := "1." + strconv.FormatInt(r.now().Add(browserFor).Unix(), 10) + "." + string(id) + "." +
		keys.Random(16)
	n := 1
	for _, k := range r.knownHere(ctx) {
		if k.id != string(id) && n < maxBrowserSignIns {
			text += "." + k.id + "." + k.nonce
			n++
		}
	}
	visitOf(ctx).set(&http.Cookie{Name: browserCookie, Value: text + "." + r.signBrowser(text), Path: "/",
		MaxAge: int(browserFor / time.Second), Secure: true, HttpOnly: true,
		SameSite: http.SameSiteStrictMode})
}

func (r *Registry) signBrowser(text string) string {
	m := hmac.New(sha256.New, r.cfg.Website.BrowserKey)
	m.Write([]byte("latchkey browser\x00" + text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
