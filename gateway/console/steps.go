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
	password := v.r.PostForm.Get("step-password")
	if v.field("step-code") == "" && password == "" && v.field("step-passkey") == "" {
		return false, nil
	}
	if wait := v.tries.begin(v.account.Name, from(v.r)); wait > 0 {
		return false, v.later(wait, func(v *visit) error { return v.show(v.status(), "step", v.stepForm(has)) })
	}
	what, ok := "one-time code", false
	var err error
	if has {
		what, ok, err = v.secondFits(v.account)
	} else {
		what = "password"
		var got fits
		err = v.post("/v1/accounts/check-password", map[string]string{"name": v.account.Name, "password": password}, &got)
		ok = got.Fits
	}
	if err != nil {
		return false, err
	}
	if !ok {
		return false, v.wrong(v.account.Name, what, "That "+what+" is wrong.", func(v *visit) error {
			return v.show(v.status(), "step", v.stepForm(has))
		})
	}
	v.tries.done(v.account.Name, from(v.r))
	v.remember(sessionConfirmed)
	if has {
		v.remember(sessionSecond)
	}
	return true, nil
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
