// Package api says what the admin API is: its operations, what each of them needs of whoever calls
// it, and what goes in and comes out as JSON. Package admin answers the operations, package client
// calls them; both take them from here, so they cannot disagree. Whoever adds an operation adds it
// here and gives admin a function for it.
package api

import (
	"net/http"
	"strings"

	"latchkey/gateway/account"
)

// Operation is one operation of the API. In is what it takes: parts of the path (tag path), of the
// query (tag query), headers (tag header), and a field Body for what is sent as JSON. Out is the
// JSON that it answers.
type Operation[In, Out any] struct {
	Info
}

// Info is what is known of an operation without its types.
type Info struct {
	ID      string // such as "add-person"
	Method  string // of HTTP
	Path    string // with {names} of what In says; see [http.ServeMux]
	Summary string // for people
	Needs   Demand
}

// Status is the HTTP status of a success.
func (i Info) Status() int {
	if strings.HasPrefix(i.ID, "add-") {
		return http.StatusCreated
	}
	return http.StatusOK
}

// declare makes an operation that always needs the same.
func declare[In, Out any](need account.Need, method, path, id, summary string) Operation[In, Out] {
	return Operation[In, Out]{Info{ID: id, Method: method, Path: path, Summary: summary,
		Needs: Demand{always: need}}}
}

// declareCases makes an operation that needs different things for different values of a member of
// its body.
func declareCases[In, Out any](member string, cases []Case,
	method, path, id, summary string) Operation[In, Out] {
	return Operation[In, Out]{Info{ID: id, Method: method, Path: path, Summary: summary,
		Needs: Demand{member: member, cases: cases}}}
}

// Nothing is what an operation takes that takes nothing.
type Nothing struct{}

// Body is what an operation takes that takes only JSON. [With] makes one.
type Body[T any] struct{ Body T }

// ByRef names a record in the path. [At] makes one.
type ByRef struct {
	Ref string `path:"ref" doc:"name or id"`
}

// RefBody names a record in the path and takes JSON. [AtWith] makes one.
type RefBody[T any] struct {
	ByRef
	Body T
}

// With is the input of an operation that takes a body.
func With[T any](body T) Body[T] { return Body[T]{body} }

// At is the input of an operation on the record of that name or id.
func At[S ~string](ref S) ByRef { return ByRef{string(ref)} }

// AtWith is the input of an operation on the record of that name or id, with a body.
func AtWith[S ~string, T any](ref S, body T) RefBody[T] { return RefBody[T]{At(ref), body} }

// List is an answer with many records.
type List[T any] struct {
	Items []T `json:"items"`
}

// Changed is the answer to a change that leaves no record to show.
type Changed struct {
	Seq     uint64   `json:"seq" doc:"sequence number of the change's event"`
	Changes []string `json:"changes" doc:"what was done, one sentence each"`
}

// NoticeHeader carries one sentence that whoever asked must see: a change acts, and is not durable.
const NoticeHeader = "Latchkey-Notice"

// TypeNoGateway is the type of the problem when an operation needs a running gateway and there is
// none, so that a client need not read its text.
const TypeNoGateway = "urn:latchkey:problem:no-gateway"
