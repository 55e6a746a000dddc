package console

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// A note is the text with which the next page says what was done. Until then it is a cookie in the
// browser. A visitor can forge only their own note, and the page escapes it.
type note struct {
	Text string `json:"text"`
	At   string `json:"at,omitempty"` // the id of the card that shows it; empty: the top of the page
}

const (
	noteCookie = "__Host-latchkey-note"
	maxNote    = 1500 // bytes
)

func (v *visit) keepNote(n note) {
	if len(n.Text) > maxNote {
		n.Text = strings.ToValidUTF8(n.Text[:maxNote], "") + " …"
	}
	b, err := json.Marshal(n)
	if err != nil {
		return // it is text
	}
	v.setNote(base64.RawURLEncoding.EncodeToString(b), 60)
}

// takeNote returns the note that the page must show, and deletes it from the browser.
func (v *visit) takeNote() (n note) {
	c, err := v.r.Cookie(noteCookie)
	if err != nil || c.Value == "" {
		return note{}
	}
	v.dropNote()
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || json.Unmarshal(b, &n) != nil {
		return note{}
	}
	return n
}

func (v *visit) dropNote() { v.setNote("", -1) }

func (v *visit) setNote(value string, seconds int) {
	http.SetCookie(v.w, &http.Cookie{Name: noteCookie, Value: value, Path: "/", MaxAge: seconds,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}
