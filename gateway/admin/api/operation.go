// Package api declares the admin API: its operations, what each of them requires of its caller, and
// the JSON that goes in and comes out. Package admin answers the operations and package client
// calls them. Both use these declarations, so they cannot disagree. To add an operation, declare it
// here and give admin a function for it.
package api

import (
	"net/http"
	"strings"

	"latchkey/gateway/account"
)

// Operation is one operation of the API. In is its input: parts of the path (tag path) and of the
// query (tag query), headers (tag header), and a field Body for the JSON in the body. Out is the
// JSON of the answer.
type Operation[In, Out any] struct {
	Info
}

// Info describes an operation without the types of its input and output.
type Info struct {
	ID      string // such as "add-person"
	Method  string // of HTTP
	Path    string // with {names} of fields of In; see [http.ServeMux]
	Summary string // for people
	Needs   Demand
	// Matches says that the operation changes one record and honours the header If-Match: it
	// refuses if the record has another tag by now.
	Matches bool
}

// Status is the HTTP status of a success.
func (i Info) Status() int {
	if strings.HasPrefix(i.ID, "add-") {
		return http.StatusCreated
	}
	return http.StatusOK
}

// declare makes an operation that always has the same need.
func declare[In, Out any](need account.Need, method, path, id, summary string) Operation[In, Out] {
	return Operation[In, Out]{Info{ID: id, Method: method, Path: path, Summary: summary,
		Needs: Demand{always: need}}}
}

// acceptIfMatch returns the same operation, but it honours If-Match.
func (o Operation[In, Out]) acceptIfMatch() Operation[In, Out] {
	o.Matches = true
	return o
}

// declareCases makes an operation with one need for each value of a member of its body.
func declareCases[In, Out any](member string, cases []Case,
	method, path, id, summary string) Operation[In, Out] {
	return Operation[In, Out]{Info{ID: id, Method: method, Path: path, Summary: summary,
		Needs: Demand{member: member, cases: cases}}}
}

// Nothing is the input of an operation without input.
type Nothing struct{}

// Body is the input of an operation that takes only JSON. [With] makes one.
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
	Limit int    `query:"limit" minimum:"1" maximum:"10000" doc:"the largest number of records in the answer; all of them if left out"`
	After string `query:"after" maxLength:"1024" doc:"the value of next from the answer before: continue after it"`
	Q     string `query:"q" maxLength:"64" doc:"only records with this text in one of their names; upper and lower case are the same"`
}

// List is an answer with many records.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"the value of after that continues the list; left out at its end"`
}

// Tagged is embedded in the answers about records that can be changed.
type Tagged struct {
	ETag string `json:"etag,omitempty" doc:"a tag that changes with the record. Send it in If-Match, and a change is refused if somebody else has changed the record since"`
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

// NoticeHeader carries one sentence that the caller must see: a change has taken effect but is not
// durable.
const NoticeHeader = "Latchkey-Notice"

// TypeNoGateway is the type of the problem if an operation needs a running gateway and there is
// none. With it a client need not read the text.
const TypeNoGateway = "urn:latchkey:problem:no-gateway"

// TypeChanged is the type of the problem if the record has another tag than If-Match says.
const TypeChanged = "urn:latchkey:problem:changed"
