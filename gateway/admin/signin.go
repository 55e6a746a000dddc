package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/gateway/access"
)

// SignIn is what came of somebody's trying to sign in at the console, for the record.
type SignIn struct {
	Account string `json:"account" doc:"its name as it was typed, which need not be anybody's"`
	From    string `json:"from" doc:"the browser's address"`
	How     string `json:"how" doc:"with what, or what was wrong" example:"password and one-time code"`
	Failed  int    `json:"failed,omitempty" minimum:"0" doc:"how often it was refused; 0: somebody is signed in"`
}

// Recorded is an event that was made.
type Recorded struct {
	Seq uint64 `json:"seq" doc:"sequence number of the event"`
}

func (a *api) signInRoutes() {
	handle(a, onMachine, http.MethodPost, "/v1/sign-ins", "record-sign-in", "Record that somebody signed in at the console, or was refused",
		func(ctx context.Context, in *struct{ Body SignIn }) (*body[Recorded], error) {
			return answer(a.recordSignIn(ctx, in.Body))
		})
}

// recordWait bounds how long an event may take to become durable.
const recordWait = 10 * time.Second

// recordSignIn has a bound of its own: the event must not be lost because a browser was closed.
func (a *api) recordSignIn(ctx context.Context, in SignIn) (Recorded, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	ev, err := a.Store.Record(ctx, access.Event{Kind: access.EventSignIn, Actor: inert(in.Account), Detail: in.detail()})
	return Recorded{Seq: ev.Seq}, err
}

func (in SignIn) detail() string {
	from, how := "from "+inert(in.From), inert(in.How)
	switch in.Failed {
	case 0:
		return from + ", with " + how
	case 1:
		return from + ": refused for " + how
	}
	return fmt.Sprintf("%s: refused %d times, the last for %s", from, in.Failed, how)
}

// maxInert bounds, in bytes, what is kept of what anybody may send.
const maxInert = 64

// inert is a text of anybody's as it may stand in an event: short, and quoted where it would not show as it is.
func inert(s string) string {
	rest := ""
	if len(s) > maxInert {
		cut := maxInert
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s, rest = s[:cut], "…"
	}
	odd := func(c rune) bool { return !unicode.IsPrint(c) }
	if s == "" || strings.TrimSpace(s) != s || strings.IndexFunc(s, odd) >= 0 || !utf8.ValidString(s) {
		s = strconv.Quote(s)
	}
	return s + rest
}
