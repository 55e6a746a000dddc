package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// How long a second step, or a password given again, is fresh.
const (
	secondFresh  = 2 * time.Minute
	confirmFresh = 15 * time.Minute
)

// sure tells whether what a route asks for was given lately or comes with this form. If not, it shows the page that asks, which sends the same
// form again.
func (v *visit) sure(s step) (bool, error) {
	if s == none || v.local {
		return true, nil
	}
	has := secondStep(v.account)
	switch {
	case s == second && !has:
		return false, problem{Status: http.StatusForbidden, Detail: "From outside, doors open only with a second step, and your account has none. " +
			"Add a passkey or one-time codes under Account first."}
	case v.since(sessionSecond) < secondFresh, s == confirm && has && v.since(sessionSecond) < confirmFresh,
		s == confirm && !has && v.since(sessionConfirmed) < confirmFresh:
		return true, nil
	}
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
	f := stepForm{Action: v.r.URL.RequestURI(), Second: has, Door: v.route.step == second, Back: "/"}
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
