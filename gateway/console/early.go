package console

import (
	"bytes"
	"io"
	"net/http"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

// question is a call of the API that a page is going to make. It only reads.
type question func(*visit) (*http.Request, error)

// ask returns a question without input. Of a list it asks for all.
func ask[In, Out any](op api.Operation[In, Out]) question {
	return askWith(op, func(*visit) (nothing In) { return nothing })
}

// askWith returns a question whose input comes from the visit.
func askWith[In, Out any](op api.Operation[In, Out], in func(*visit) In) question {
	return func(v *visit) (*http.Request, error) { return client.NewRequest(v.r.Context(), op, in(v)) }
}

// askNamed returns the question about the record that the address names.
func askNamed[Out any](op api.Operation[api.ByRef, Out], name string) question {
	return askWith(op, func(v *visit) api.ByRef { return v.readRef(name) })
}

// frameQuestions are the questions of every page after sign-in.
var frameQuestions = []question{ask(api.GetSite), ask(api.GetTime), ask(api.ListAlarms)}

// pageQuestions are the other questions of a page, by the pattern of its route. Questions that
// depend on an answer are not among them.
var pageQuestions = map[string][]question{
	"GET /{$}":    {ask(api.ListTargets), ask(api.ListDevices), ask(api.GetHealth)},
	"GET /events": {ask(api.ListTargets), askWith(api.ListEvents, (*visit).queryNewestEvents)},
	"GET /why":    {ask(api.ListTargets), ask(api.ListPersons), ask(api.ListCards), ask(api.ListDevices)},

	"GET /people": {ask(api.ListPersons)},
	"GET /people/{person}": append([]question{askNamed(api.GetPerson, "person"),
		askWith(api.ListCards, (*visit).cardsOfPerson), askWith(api.ListGrants, (*visit).grantsOfPerson),
		ask(api.ListDevices)}, grantQuestions...),
	"GET /groups": {ask(api.ListGroups), ask(api.ListGrants)},
	"GET /groups/{group}": append([]question{askNamed(api.GetGroup, "group"), ask(api.ListPersons),
		ask(api.ListGrants)}, grantQuestions...),
	"GET /schedules": {ask(api.ListSchedules), ask(api.ListGrants)},

	"GET /devices":          {ask(api.ListDevices), ask(api.ListTargets)},
	"GET /devices/{device}": {askNamed(api.GetDevice, "device"), askWith(api.Diagnose, (*visit).nameDevice)},
	"GET /targets/{target}": {askNamed(api.GetTarget, "target"), ask(api.ListDevices), ask(api.ListGroups),
		ask(api.ListGrants)},

	"GET /health": {ask(api.GetHealth), ask(api.Diagnose), ask(api.GetHead), ask(api.GetLatency),
		ask(api.GetStatus), ask(api.ListDevices)},
	"GET /sinks":        {ask(api.ListSinks)},
	"GET /sinks/{sink}": {askNamed(api.GetSink, "sink"), askNamed(api.ListDeadLetters, "sink")},
	"GET /integrations": {ask(api.ListIntegrations)},
	"GET /integrations/{integration}": append([]question{askNamed(api.GetIntegration, "integration"),
		ask(api.ListPersons)}, grantQuestions...),

	"GET /admins": {ask(api.ListAccounts)},
}

// grantQuestions are the questions of a form for grants.
var grantQuestions = []question{ask(api.ListTargets), ask(api.ListGroups), ask(api.ListSchedules)}

// early is an answer that was requested before the page needs it.
type early struct {
	resp *http.Response
	err  error
	done chan struct{} // closed when the answer is there
}

// askEarly asks several questions at once, because the API is another process and each call takes
// time.
func (v *visit) askEarly(questions ...question) {
	if v.early == nil {
		v.early = map[string]*early{}
	}
	for _, q := range questions {
		r, err := q(v)
		if err != nil {
			continue // the page asks again and gets the error
		}
		v.describeVisitor(r)
		a := &early{done: make(chan struct{})}
		v.early[keyOf(r)] = a
		go func() {
			defer close(a.done)
			a.resp, a.err = fetch(&v.api, r)
		}()
	}
}

// fetch returns an answer whose body has been read.
func fetch(api *http.Client, r *http.Request) (*http.Response, error) {
	resp, err := api.Do(r)
	if err != nil {
		return nil, err
	}
	body := http.MaxBytesReader(nil, resp.Body, maxAnswer)
	defer func() { _ = body.Close() }()
	read, err := io.ReadAll(body)
	resp.Body = io.NopCloser(bytes.NewReader(read))
	return resp, err
}

// keyOf returns a key for a request of the API without a body.
func keyOf(r *http.Request) string { return r.Method + " " + r.URL.String() }
