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
	// Matches says that the operation changes one record, and not if a header If-Match names the tag
	// of another content than it has.
	Matches bool
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

// matching is the same operation, with If-Match.
func (o Operation[In, Out]) matching() Operation[In, Out] {
	o.Matches = true
	return o
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

// ListQuery asks for a part of a list.
type ListQuery struct {
	Limit int    `query:"limit" minimum:"1" maximum:"10000" doc:"at most so many; all of them if left out"`
	After string `query:"after" maxLength:"1024" doc:"what an answer gave as next: only what follows there"`
	Q     string `query:"q" maxLength:"64" doc:"only those that have this text in one of their names; capitals do not matter"`
}

// List is an answer with many records.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"after for what follows these; left out when nothing does"`
}

// Tagged is part of each record in an answer that can be changed.
type Tagged struct {
	ETag string `json:"etag,omitempty" doc:"another one when the record is: with it in If-Match, a change is refused if somebody else was quicker"`
}

// Tag returns the record's tag.
func (t *Tagged) Tag() string { return t.ETag }

// SetTag sets the record's tag.
func (t *Tagged) SetTag(tag string) { t.ETag = tag }

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

// TypeChanged is the type of the problem when a record is not what If-Match says.
const TypeChanged = "urn:latchkey:problem:changed"
