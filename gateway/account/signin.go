package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
)

// Proof is how somebody proves who they are. One field is set.
type Proof struct {
	Passkey  string // the browser's answer to a challenge, as its script writes it in JSON
	Code     string // a one-time code
	Password string
}

func (s Proof) empty() bool { return s == Proof{} }

var errNoVisit = &Refusal{Status: http.StatusConflict, Detail: "only a visitor of the website can do this"}

// errNoStep answers a form without a passkey, a code or a password. It does not count as a try.
var errNoStep = &Refusal{Status: http.StatusUnprocessableEntity,
	Detail: "neither a passkey nor a code was sent. Use a passkey, or type a code"}

func wrong(detail string) error {
	return &Refusal{Status: http.StatusUnauthorized, Type: TypeWrong, Detail: detail}
}

// SignIn signs in with a name and a password. The answer to a wrong password is the same, and takes
// as long, whether the account exists or not. pending says that the password was right and a second
// step is due.
func (r *Registry) SignIn(ctx context.Context, name, password string) (pending bool, err error) {
	if visitOf(ctx) == nil {
		return false, errNoVisit
	}
	if name == "" || password == "" {
		return false, errNoStep
	}
	id, nonce := r.knowsName(ctx, name)
	t, err := r.try(ctx, wrongPassword, name, id, nonce)
	if err != nil {
		return false, err
	}
	a, fits, err := r.tryPassword(ctx, t, password)
	if err != nil {
		return false, err
	}
	if !fits {
		return false, wrong("the name or the password is wrong")
	}
	if err := r.sessions.RenewToken(ctx); err != nil {
		return false, err
	}
	if a.SecondStep() {
		r.sessions.Put(ctx, sessionPending, string(a.ID))
		r.remember(ctx, sessionPendingAt)
		// The store keeps a bounded number of sign-ins. When it is full, the one that ends first is
		// dropped.
		r.sessions.SetDeadline(ctx, r.now().Add(pendingFor))
		return true, nil
	}
	return false, r.begin(ctx, a, "password", false)
}

// SignInSecond takes the second step of a visitor who gave the right password a moment ago.
func (r *Registry) SignInSecond(ctx context.Context, s Proof) error {
	if visitOf(ctx) == nil {
		return errNoVisit
	}
	a := r.Pending(ctx)
	if a.ID == "" {
		return &Refusal{Status: http.StatusConflict, Type: TypeWrong,
			Detail: "the password was given too long ago: sign in again"}
	}
	if s.Passkey == "" && s.Code == "" {
		return errNoStep
	}
	what, ok, err := r.secondFits(ctx, a, s)
	if err != nil {
		return err
	}
	if !ok {
		return wrong("that " + what + " is wrong, or was used already")
	}
	if err := r.sessions.RenewToken(ctx); err != nil {
		return err
	}
	return r.begin(ctx, a, "password and "+what, true)
}

// SignInPasskey signs in with a passkey. A passkey asks for a finger or a code of its own, so it
// counts as both steps.
func (r *Registry) SignInPasskey(ctx context.Context, signed string) error {
	if visitOf(ctx) == nil {
		return errNoVisit
	}
	if signed == "" {
		return errNoStep
	}
	a, err := r.passkeyFits(ctx, signed)
	if err != nil {
		return err
	}
	if err := r.sessions.RenewToken(ctx); err != nil {
		return err
	}
	return r.begin(ctx, a, "passkey", true)
}

// SignInSetUp signs in the owner that a set-up code has just made, if the request came through the
// website.
func (r *Registry) SignInSetUp(ctx context.Context, id access.ID) error {
	if visitOf(ctx) == nil {
		return nil
	}
	a, ok := r.account(id)
	if !ok {
		return fmt.Errorf("account %s: %w", id, access.ErrNotFound)
	}
	if err := r.sessions.RenewToken(ctx); err != nil {
		return err
	}
	return r.begin(ctx, a, "set-up code", false)
}

// Confirm takes a step from somebody who is signed in, and makes their sign-in fresh again.
func (r *Registry) Confirm(ctx context.Context, s Proof) error {
	a := r.visitor(ctx)
	if a.ID == "" {
		return errNoVisit
	}
	what, ok, has := wrongPassword, false, a.SecondStep()
	var err error
	switch {
	case s.empty(), has && s.Passkey == "" && s.Code == "":
		return errNoStep
	case has:
		what, ok, err = r.secondFits(ctx, a, s)
	default:
		ok, err = r.ownPassword(ctx, a, s.Password)
	}
	if err != nil {
		return err
	}
	if !ok {
		return wrong("that " + what + " is wrong")
	}
	r.remember(ctx, sessionConfirmed)
	if has {
		r.remember(ctx, sessionSecond)
	}
	return nil
}

// ConfirmPassword checks the old password of somebody who is signed in and wants a new one.
func (r *Registry) ConfirmPassword(ctx context.Context, password string) error {
	a := r.visitor(ctx)
	if a.ID == "" {
		return errNoVisit
	}
	ok, err := r.ownPassword(ctx, a, password)
	if err != nil {
		return err
	}
	if !ok {
		return wrong("the old password is wrong")
	}
	r.remember(ctx, sessionConfirmed)
	return nil
}

// visitor returns the account of a visitor who has signed in; zero if the request is not a
// visitor's, or nobody has signed in.
func (r *Registry) visitor(ctx context.Context) accounts.Account {
	if visitOf(ctx) == nil {
		return accounts.Account{}
	}
	return r.signedIn(ctx)
}

// ownPassword tells whether this is the password of the account that is signed in.
func (r *Registry) ownPassword(ctx context.Context, of accounts.Account, password string) (bool, error) {
	if password == "" {
		return false, nil
	}
	t, err := r.try(ctx, wrongPassword, of.Name, of.ID, r.knows(ctx, of.ID))
	if err != nil {
		return false, err
	}
	a, fits, err := r.tryPassword(ctx, t, password)
	return fits && a.ID == of.ID, err
}

// secondFits checks the passkey or the one-time code that came, and returns which of the two it
// was. A code can be guessed, so tries are counted; a passkey cannot.
func (r *Registry) secondFits(ctx context.Context, of accounts.Account, s Proof) (what string, ok bool,
	err error) {
	if s.Passkey == "" {
		ok, err = r.codeFits(ctx, of, s.Code)
		return "one-time code", ok, err
	}
	a, err := r.passkeyFits(ctx, s.Passkey)
	if errors.Is(err, errPasskey) {
		err = nil
	}
	return "passkey", err == nil && a.ID == of.ID, err
}

// codeFits checks the one-time code that was typed. Each code is accepted once.
func (r *Registry) codeFits(ctx context.Context, of accounts.Account, code string) (bool, error) {
	t, err := r.try(ctx, wrongCode, of.Name, of.ID, r.knows(ctx, of.ID))
	if err != nil {
		return false, err
	}
	fits := r.CheckCode(of.ID, code)
	return fits, r.settle(ctx, t, fits, nil)
}

// begin begins a sign-in. The caller has given the browser a new cookie.
func (r *Registry) begin(ctx context.Context, a accounts.Account, how string, second bool) error {
	r.rememberBrowser(ctx, a.ID)
	r.guesses.forget(a.Name)
	r.sessions.Remove(ctx, sessionPending)
	r.sessions.Remove(ctx, sessionPendingAt)
	r.sessions.Put(ctx, sessionAccount, string(a.ID))
	r.sessions.Put(ctx, sessionEpoch, int64(a.Epoch))
	r.sessions.SetDeadline(ctx, r.now().Add(signedInFor))
	r.remember(ctx, sessionSeen)
	r.remember(ctx, sessionConfirmed)
	r.sessions.Remove(ctx, sessionSecond)
	if second {
		r.remember(ctx, sessionSecond)
	}
	_, err := r.RecordSignIn(ctx, clip(a.Name), visitOf(ctx).from(), how, 0)
	return err
}

// recordWait bounds how long an event may take to become durable.
const recordWait = 10 * time.Second

// RecordSignIn records an event about a sign-in, or about a number of refused ones, and returns its
// number. It has a time limit of its own: the event must not be lost because a browser was closed.
func (r *Registry) RecordSignIn(ctx context.Context, name, from, how string, failed int) (seq uint64,
	err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	detail := "from " + inert(from)
	switch failed {
	case 0:
		detail += ", with " + inert(how)
	case 1:
		detail += ": refused for " + inert(how)
	default:
		detail += fmt.Sprintf(": refused %d times, the last for %s", failed, inert(how))
	}
	reason := access.ReasonGranted
	if failed > 0 {
		reason = audit.ReasonRefused
	}
	ev, err := r.cfg.Record(ctx, audit.Event{Kind: audit.EventSignIn, Actor: inert(name),
		Granted: failed == 0, Reason: reason, Detail: detail})
	return ev.Seq, err
}

// maxInert bounds, in bytes, how much of a text from a stranger is stored.
const maxInert = 64

// inert makes a stranger's text safe for an event: it is shortened, and quoted if it has characters
// that would not be visible.
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

// clip shortens what somebody typed before it is passed on.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}
