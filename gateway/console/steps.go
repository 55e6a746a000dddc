package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/account"
)

// How long a second step, or a password given again, is fresh.
const (
	secondFresh  = 2 * time.Minute
	confirmFresh = 15 * time.Minute
)

// freshness is how sure it is that it is still the person who signed in. On a local network the console takes their word.
func (v *visit) freshness() account.Freshness {
	has := secondStep(v.account)
	switch {
	case v.local, has && v.since(sessionSecond) < secondFresh:
		return account.Second
	case has && v.since(sessionSecond) < confirmFresh, !has && v.since(sessionConfirmed) < confirmFresh:
		return account.Confirmed
	}
	return account.Stale
}

// sure tells whether what is needed comes with this form. If not, it shows the page that asks, which sends the same
// form again.
func (v *visit) sure(fresh string) (bool, error) {
	has := secondStep(v.account)
	door := fresh == account.Second.String()
	if door && !has {
		return false, problem{Status: http.StatusForbidden, Detail: "From outside, doors open only with a second step, and your account has none. " +
			"Add a passkey or one-time codes under Account first."}
	}
	v.door = door
	given, err := v.stepGiven(has)
	if given || err != nil {
		return given, err
	}
	return false, v.show(v.status(), "step", v.stepForm(has))
}

// stepGiven checks what was typed on the page that asks.
func (v *visit) stepGiven(has bool) (bool, error) {
	if v.noStep() {
		return false, nil
	}
	ask := func(v *visit) error { return v.show(v.status(), "step", v.stepForm(has)) }
	what, ok := wrongPassword, false
	var err error
	if has {
		what, ok, err = v.secondFits(v.account)
	} else {
		ok, err = v.ownPassword(v.r.PostForm.Get("step-password"))
	}
	if err != nil {
		return false, v.again(err, ask)
	}
	if !ok {
		return false, v.again(problem{Status: http.StatusUnauthorized, Detail: "That " + what + " is wrong."}, ask)
	}
	v.remember(sessionConfirmed)
	if has {
		v.remember(sessionSecond)
	}
	return true, nil
}

// ownPassword tells whether it is the password of whoever is signed in.
func (v *visit) ownPassword(password string) (bool, error) {
	if password == "" {
		return false, nil
	}
	t, err := v.try(wrongPassword, v.account.Name, v.account.ID, v.knows(v.account.ID))
	if err != nil {
		return false, err
	}
	account, err := v.checkPassword(t, password)
	return account.ID != "" && account.ID == v.account.ID, err
}

// stepForm is the form that is sent again with the step.
type stepForm struct {
	Action string
	Fields []field
	Second bool // a passkey or a one-time code; else the password
	Door   bool
	Back   string
}

type field struct{ Name, Value string }

func (v *visit) stepForm(has bool) stepForm {
	f := stepForm{Action: v.r.URL.RequestURI(), Second: has, Door: v.door, Back: "/"}
	if u, err := url.Parse(v.r.Header.Get("Referer")); err == nil && u.Host == v.r.Host {
		f.Back = ours(u.RequestURI())
	}
	for name, values := range v.r.PostForm {
		if strings.HasPrefix(name, "step-") {
			continue
		}
		for _, value := range values {
			f.Fields = append(f.Fields, field{name, value})
		}
	}
	slices.SortFunc(f.Fields, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return f
}
