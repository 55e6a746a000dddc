package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/console/page"
	"latchkey/gateway/limit"
)

// visit is one request of a visitor.
type visit struct {
	*Console
	w        http.ResponseWriter
	r        *http.Request
	route    route
	cookies  []*http.Cookie // the browser's: those that came, or were set since
	token    bool           // the request is a script's: we pass on its token instead of cookies
	session  api.Session
	account  api.Account       // zero: nobody is signed in
	door     bool              // a second step is asked for to open a door
	where    string            // the id of the card that the problem belongs to; empty: the whole page
	problem  string            // why the request failed, for the page that says so
	mustWait bool              // the visitor must wait; the answer says how long
	notice   string            // a warning of the API: a change is not durable
	site     *api.Site         // nil: not asked for yet
	early    map[string]*early // answers of the API, by [keyOf]
}

// serveRoute answers at a route. It finds out who the visitor is and whether they may see the page
// before it serves the page.
func (c *Console) serveRoute(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := newVisit(c, w, r)
		v.route = rt
		if err := v.serve(); err != nil {
			v.fail(err)
		}
	})
}

func newVisit(c *Console, w http.ResponseWriter, r *http.Request) *visit {
	return &visit{Console: c, w: w, r: r, cookies: r.Cookies()}
}

// recognise finds out who is signed in, and whether they may call the route's operation.
func (v *visit) recognise() error {
	now, err := call(v, api.GetSession, api.SessionQuery{Operation: v.route.operation})
	if err != nil {
		return err
	}
	v.session = now
	if v.session.Account != nil {
		v.account = *v.session.Account
	}
	if key, token, ok := clientKey(v.r); ok && !token {
		v.clients.remember(key, limit.Client{Account: string(v.account.ID)}, time.Now())
	}
	return nil
}

func (v *visit) serve() error {
	known := limit.ClientOf(v.r.Context()).Account != "" // for strangers we ask this first, in one call
	if known && v.r.Method == http.MethodGet && v.route.operation != public {
		v.askEarly(slices.Concat(frameQuestions, pageQuestions[v.route.pattern])...)
	}
	if err := v.recognise(); err != nil {
		return err
	}
	if v.route.operation != public && v.account.ID == "" {
		return v.welcome() // whatever the form contains
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		return newProblem(http.StatusBadRequest, "The form could not be read, or is too long.")
	}
	if v.route.operation == public {
		return v.route.serve(v)
	}
	switch refused := v.session.Refused; {
	case refused == nil:
	case refused.Type == account.TypeStep:
		if ok, err := v.requireStep(refused.Fresh); !ok || err != nil {
			return err
		}
	default:
		return &client.Problem{Status: refused.Status, Type: refused.Type,
			Detail: page.Sentence(refused.Detail)}
	}
	return v.route.serve(v)
}

// welcome redirects a visitor who is not signed in to the page where they can sign in.
func (v *visit) welcome() error {
	if v.r.Method != http.MethodGet || v.r.Header.Get("Accept") == "text/event-stream" {
		return newProblem(http.StatusUnauthorized,
			"You are not signed in, or your sign-in has ended. Sign in and try again.")
	}
	if v.session.SetUp {
		return v.redirect("/setup")
	}
	return v.redirect("/sign-in?to=" + url.QueryEscape(v.r.URL.RequestURI()))
}

func (v *visit) redirect(to string) error {
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// reportDone redirects to a page, which says what was done.
func (v *visit) reportDone(to, format string, args ...any) error {
	return v.keepNoteAndRedirect("", to, fmt.Sprintf(format, args...))
}

func (v *visit) keepNoteAndRedirect(at, to, text string) error {
	if v.notice != "" {
		text += " " + page.Sentence(v.notice)
	}
	v.keepNote(note{Text: text, At: at})
	return v.redirect(to)
}

// reportDoneAtCard redirects to the first page, which shows the text at the target's card, where
// the visitor looks.
func (v *visit) reportDoneAtCard(target access.ID, text string) error {
	return v.keepNoteAndRedirect(string(target), "/#t-"+string(target), text)
}

// fail shows why something did not work, as a page if possible.
func (v *visit) fail(err error) {
	p := newProblem(http.StatusInternalServerError,
		"Something went wrong here. The gateway's log says more.")
	if !errors.As(err, &p) {
		if v.r.Context().Err() != nil {
			return // nobody is left to read it
		}
		v.cfg.Log.Error("console request", "route", v.route.pattern, "err", err)
	}
	if v.r.Header.Get("Accept") == "text/event-stream" {
		refuseRequest(v.w, p.Status, p.Detail)
		return
	}
	said := problemPage{http.StatusText(p.Status), p.Detail}
	if err := v.showPage(p.Status, "problem", said); err != nil {
		v.cfg.Log.Error("console request", "route", v.route.pattern, "err", err)
		refuseRequest(v.w, p.Status, p.Detail)
	}
}

// showAgain shows the page of a form again, with what was typed, if the input was wrong. It returns
// any other error.
func (v *visit) showAgain(err error, show func(*visit) error) error {
	var p *client.Problem
	if err == nil || !errors.As(err, &p) || isRefusal(p) ||
		p.Status >= 500 && p.Status != http.StatusGatewayTimeout {
		return err
	}
	v.problem = page.Sentence(p.Detail)
	return show(v)
}

// problemPage is a page that only says why something did not work.
type problemPage struct {
	Title  string // in a word
	Detail string
}

// newProblem makes a refusal by the console itself.
func newProblem(status int, detail string) *client.Problem {
	return &client.Problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// isRefusal tells whether the visitor is refused whatever the form says.
func isRefusal(p *client.Problem) bool {
	return p.Type == account.TypeRole || p.Type == account.TypeStep || p.Type == account.TypeSignIn
}

// readField returns what was typed into a field, without spaces around it.
func (v *visit) readField(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }

// readRef returns the record whose id or name is in this part of the address.
func (v *visit) readRef(name string) api.ByRef { return api.At(v.r.PathValue(name)) }

// addressOf returns the address of a record's page, by its id or name. It also escapes "." and
// "..", since they have a meaning in a path.
func addressOf[S ~string](section string, ref S) string {
	return section + strings.ReplaceAll(url.PathEscape(string(ref)), ".", "%2E")
}
