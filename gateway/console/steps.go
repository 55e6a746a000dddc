package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

// requireStep tells whether the second step, or the password, came with this form. If not, it shows
// the page that asks for it, which sends the same form again.
func (v *visit) requireStep(fresh string) (bool, error) {
	has := hasSecondStep(v.account)
	door := fresh == account.Second.String()
	if door && !has {
		return false, newProblem(http.StatusForbidden,
			"From outside, doors open only with a second step, and your account has none. "+
				"Add a passkey or one-time codes under Account first.")
	}
	v.door = door
	given, err := v.stepGiven(has)
	if given || err != nil {
		return given, err
	}
	return false, v.showPage(v.chooseStatus(), "step", v.stepForm(has))
}

// stepGiven checks the step that came with the form.
func (v *visit) stepGiven(has bool) (bool, error) {
	if v.lacksStep() {
		return false, nil
	}
	if _, err := call(v, api.Confirm, api.With(v.readStep())); err != nil {
		return false, v.showAgain(err, func(v *visit) error {
			return v.showPage(v.chooseStatus(), "step", v.stepForm(has))
		})
	}
	return true, nil
}

// stepForm is the page that asks for the step. It repeats the form.
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
		f.Back = cleanPage(u.RequestURI())
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
