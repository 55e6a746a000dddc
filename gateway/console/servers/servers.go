// Package servers is the pages about other people's servers: the sinks that events are sent to, and
// the integrations that show doors and ask for them. It asks the admin API for a visitor, and
// says what a page shows. Package page draws it.
package servers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

// Visit is a request of a visitor.
type Visit struct {
	Context context.Context
	Send    client.Send // to the admin API, on behalf of the visitor
	// Path returns the part of the address with a name, and Field what a field of the form holds.
	Path, Field func(name string) string
	// Values returns what all fields of that name hold, and Time a date and a time in the site's
	// zone, nil if there is none.
	Values func(name string) []string
	Time   func(name string) (*time.Time, error)
}

// Page is a page.
type Page struct {
	Pattern   string // of [http.ServeMux]
	Operation string // of the admin API, whose need decides who may see it
	Name      string // of its template
	Make      func(Visit) (any, error)
}

// Form is a form on a page. Do returns what was done, and the page that says so.
type Form struct {
	Pattern   string
	Operation string
	Page      *Page // which is shown again if the form is refused
	Do        func(Visit) (to, text string, err error)
}

// The pages. Each shows what the gateway knows at that moment.
var (
	sinkList        = &Page{"GET /sinks", api.ListSinks.ID, "sinks", makeSinks}
	sinkPage        = &Page{"GET /sinks/{sink}", api.GetSink.ID, "sink", makeSink}
	integrationList = &Page{"GET /integrations", api.ListIntegrations.ID, "integrations", makeIntegrations}
	integrationPage = &Page{"GET /integrations/{integration}", api.GetIntegration.ID, "integration",
		makeIntegration}
)

// Pages are all pages.
var Pages = []*Page{sinkList, sinkPage, integrationList, integrationPage}

// Forms are the forms on them.
var Forms = []Form{
	{"POST /sinks/{sink}", api.ChangeSink.ID, sinkPage, changeSink},
	{"POST /sinks/{sink}/test", api.TestSink.ID, sinkPage, testSink},
	{"POST /sinks/{sink}/remove", api.RemoveSink.ID, sinkPage, removeSink},
	{"POST /sinks/{sink}/dead/{seq}/retry", api.RetryDeadLetter.ID, sinkPage, retryDeadLetter},
	{"POST /integrations/{integration}", api.ChangeIntegration.ID, integrationPage, changeIntegration},
	{"POST /integrations/{integration}/test", api.TestIntegration.ID, integrationPage, testIntegration},
	{"POST /integrations/{integration}/grants", api.AddGrant.ID, integrationPage, addGrant},
	{"POST /integrations/{integration}/remove", api.RemoveIntegration.ID, integrationPage, removeIntegration},
}

// call calls an operation of the admin API for the visitor.
func call[In, Out any](v Visit, op api.Operation[In, Out], in In) (Out, error) {
	return client.Call(v.Context, v.Send, op, in)
}

// readRef returns the record that the address names.
func (v Visit) readRef(name string) api.ByRef { return api.At(v.Path(name)) }

// addressOf returns the address of the page of the record that the address names.
func (v Visit) addressOf(name string) string {
	return "/" + name + "s/" + strings.ReplaceAll(url.PathEscape(v.Path(name)), ".", "%2E")
}

// refuse makes a refusal by the website itself.
func refuse(status int, detail string) *client.Problem {
	return &client.Problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// readPause tells whether the form asks to pause something; ok is false if it asks for nothing.
func (v Visit) readPause() (paused, ok bool) {
	switch v.Field("do") {
	case "pause":
		return true, true
	case "resume":
		return false, true
	}
	return false, false
}
