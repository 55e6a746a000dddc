// Package openapi writes the OpenAPI document of the admin API from the declarations of its
// operations: their purpose, their callers, their input and output, and how they fail. It answers
// no request.
package openapi

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/keys"
)

const aboutAPI = `Administration of a latchkey gateway. Records are named in paths and bodies by their name or their id.

On the website the API is below /api, and a request needs a token or the cookie of somebody who has signed in. ` +
	`On the socket admin.sock in the gateway's data folder it needs neither: whoever may open that socket may do everything.

A list has three parameters: limit, after and q. An answer that leaves something out says in its member next what to send as after. ` +
	`A record carries a tag, as its member etag and, in quotes, in the header ETag. A change with that header as If-Match is refused with 412 ` +
	`when somebody else has changed the record meanwhile.`

// The names of the security schemes.
const (
	schemeToken  = "token"
	schemeCookie = "cookie"
)

// tags are the groups of operations, by the first part of their paths.
var tags = []*huma.Tag{
	{Name: "accounts", Description: "Who may sign in at the website, and with what"},
	{Name: "alarms", Description: "Doors that were forced, devices that were tampered with"},
	{Name: "audit", Description: "Whether the chain of events is whole"},
	{Name: "backup", Description: "A copy of everything, to keep elsewhere"},
	{Name: "cards", Description: "Cards that people hold"},
	{Name: "devices", Description: "Readers, switches, locks, lamps and sensors"},
	{Name: "doctor", Description: "What is wrong, and what to do about it"},
	{Name: "events", Description: "What happened"},
	{Name: "explain", Description: "What would be decided, and why"},
	{Name: "gateway", Description: "The running gateway"},
	{Name: "grants", Description: "Who may do what, where and when"},
	{Name: "groups", Description: "Sets of persons or of targets"},
	{Name: "integrations", Description: "Other systems that show doors and lamps and ask to move them"},
	{Name: "keys", Description: "The secrets of devices"},
	{Name: "persons", Description: "People"},
	{Name: "schedules", Description: "Times of the week"},
	{Name: "session", Description: "Whoever makes the request"},
	{Name: "setup", Description: "The first account"},
	{Name: "sinks", Description: "Places that events are sent to"},
	{Name: "site", Description: "What holds for the whole site"},
	{Name: "targets", Description: "Doors and lamps"},
	{Name: "time", Description: "The gateway's clock"},
}

// tagOf returns the group of an operation.
func tagOf(op api.Info) string {
	parts := strings.Split(op.Path, "/") // an empty one, the version, and the group
	part := parts[min(2, len(parts)-1)]
	switch {
	case slices.ContainsFunc(tags, func(t *huma.Tag) bool { return t.Name == part }):
		return part
	case part == "lockdown":
		return "site"
	}
	return "gateway"
}

// Config returns the document without operations.
func Config(version string) huma.Config {
	if version == "" {
		version = "dev"
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "latchkey", Version: version, Description: aboutAPI},
			Servers: []*huma.Server{{URL: ".",
				Description: "Where this document is: below /api on the website, " +
					"at the root on the socket admin.sock"}},
			Tags: tags,
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					schemeToken: {Type: "http", Scheme: "bearer",
						Description: "A token of an account. It has scopes."},
					schemeCookie: {Type: "apiKey", In: "cookie", Name: account.SessionCookie,
						Description: "The sign-in of a visitor. " +
							"What they may do depends on the account's role."},
				},
			},
		},
		OpenAPIPath: "/openapi",
	}
}

// Describe returns the entry of an operation in the document.
func Describe[In, Out any](of api.Operation[In, Out]) huma.Operation {
	op := of.Info
	out := huma.Operation{OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary,
		Description: describeNeeds(op.Needs), Tags: []string{tagOf(op)}, DefaultStatus: op.Status(),
		Security: security(op.Needs), Errors: problemsOf(op, reflect.TypeFor[In]()),
		Extensions: map[string]any{needsExtension: showNeeds(op.Needs)}}
	if op.Matches {
		out.Parameters = append(out.Parameters, &huma.Param{Name: "If-Match", In: "header",
			Description: "the ETag of the record that you have seen. " +
				"The change is refused if the record has another ETag by now",
			Schema: &huma.Schema{Type: "string"}})
	}
	return out
}

// problemsOf returns the statuses with which an operation may fail. in is the type of its input.
func problemsOf(op api.Info, in reflect.Type) []int {
	// Any operation may come with an If-Match that it does not know, or with an unknown parameter.
	out := []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusServiceUnavailable}
	_, cases := op.Needs.Cases()
	if !slices.ContainsFunc(cases, func(c api.Case) bool { return c.Need.Anyone }) {
		out = append(out, http.StatusUnauthorized, http.StatusForbidden)
	}
	if in.NumField() > 0 {
		out = append(out, http.StatusNotFound)
	}
	if op.Method != http.MethodGet {
		out = append(out, http.StatusConflict, http.StatusRequestTimeout,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusInsufficientStorage)
	}
	if op.Method == http.MethodPost {
		out = append(out, http.StatusGatewayTimeout)
	}
	if op.Matches {
		out = append(out, http.StatusPreconditionFailed)
	}
	return out
}

// DescribeText describes an operation that answers with text and that huma does not serve.
func DescribeText[In, Out any](doc *huma.OpenAPI, op api.Operation[In, Out]) huma.Operation {
	out := Describe(op)
	out.Responses = map[string]*huma.Response{"200": {Description: op.Summary,
		Content: map[string]*huma.MediaType{"text/plain": {}}}}
	problem := doc.Components.Schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "")
	for _, status := range out.Errors {
		out.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status),
			Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}}}
	}
	return out
}

// security returns the security schemes that an operation accepts.
func security(d api.Demand) []map[string][]string {
	out := []map[string][]string{}
	_, cases := d.Cases()
	token, cookie := false, false
	for _, c := range cases {
		token = token || c.Need.Scope != ""
		cookie = cookie || c.Need.Role != "" || c.Need.Own
	}
	if token {
		out = append(out, map[string][]string{schemeToken: {}})
	}
	if cookie {
		out = append(out, map[string][]string{schemeCookie: {}})
	}
	return out
}

// describeNeeds returns sentences for people that say who may call an operation.
func describeNeeds(d api.Demand) string {
	member, cases := d.Cases()
	var out []string
	for _, c := range cases {
		text := describeNeed(c.Need)
		if member != "" {
			text = c.When(member) + ": " + text
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func describeNeed(n account.Need) string {
	switch {
	case n.Public:
		return "For everybody."
	case n.Anyone:
		return "For everybody who has signed in, with a token too."
	case n.Role == "" && !n.Own:
		return "Only on the socket admin.sock."
	}
	var who []string
	if n.Own {
		who = append(who, "the account itself, named by its id")
	}
	if n.Role != "" {
		who = append(who, fmt.Sprintf("an account with the role %s or a higher one", n.Role))
	}
	if n.Scope != "" {
		who = append(who, fmt.Sprintf("a token with the scope %s", n.Scope))
	}
	text := "For " + strings.Join(who, ", or ") + "."
	switch n.Fresh {
	case account.Confirmed:
		text += " Somebody who has signed in must have confirmed that it is them a short time ago."
	case account.Second:
		text += " Somebody who has signed in must have given a second step a short time ago, " +
			"unless they are on a local network."
	}
	return text
}

// DescribeHeaders removes from the document the headers that the answer of an operation never has.
func DescribeHeaders[In, Out any](doc *huma.OpenAPI, op api.Operation[In, Out]) {
	item := doc.Paths[op.Path]
	described := map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post,
		http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete}[op.Method]
	described.Responses["429"].Headers = map[string]*huma.Param{"Retry-After": {
		Description: "after how many seconds it is worth trying again, where that is known",
		Schema:      &huma.Schema{Type: "integer"}}}
	for _, r := range described.Responses {
		if _, ok := any(new(Out)).(interface{ Tag() string }); !ok {
			delete(r.Headers, "ETag")
		}
		if op.Status() != http.StatusCreated {
			delete(r.Headers, "Location")
		}
		if op.Method == http.MethodGet {
			delete(r.Headers, api.NoticeHeader)
		}
	}
}

// enums are the values of the types that have only a few.
var enums = map[reflect.Type][]any{
	reflect.TypeFor[accounts.Role]():   values(accounts.Roles),
	reflect.TypeFor[accounts.Scope]():  values(accounts.Scopes),
	reflect.TypeFor[access.Reason]():   values(audit.Reasons),
	reflect.TypeFor[audit.EventKind](): values(audit.EventKinds),
	reflect.TypeFor[audit.Outcome](): values([]audit.Outcome{audit.OutcomeDone, audit.OutcomeRefused,
		audit.OutcomeOffline, audit.OutcomeUnknown, audit.OutcomeLate}),
	reflect.TypeFor[door.Headline](): values(door.Headlines),
	reflect.TypeFor[keys.Kind]():     values(keys.Kinds),
	reflect.TypeFor[wire.Action]():   {"unlock", "lock", "on", "off", "toggle", "level"},
}

func values[T ~string](of []T) []any {
	out := make([]any, len(of))
	for i, v := range of {
		out[i] = string(v)
	}
	return out
}

// DescribeEnums adds these values to the members of all types in the document.
func DescribeEnums(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas
	for name, s := range schemas.Map() {
		if t := schemas.TypeFromRef("#/components/schemas/" + name); t != nil && t.Kind() == reflect.Struct {
			describeMembers(t, s)
			s.PrecomputeMessages()
		}
	}
}

func describeMembers(t reflect.Type, s *huma.Schema) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			describeMembers(f.Type, s)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		member := s.Properties[name]
		if member == nil {
			continue
		}
		of := f.Type
		if of.Kind() == reflect.Slice && member.Items != nil {
			of, member = of.Elem(), member.Items
		}
		if e := enums[of]; e != nil {
			member.Enum = e
		}
	}
}

// needsExtension is the member of an operation in the OpenAPI document that holds its needs.
const needsExtension = "x-latchkey-needs"

// shownNeed is the form of a need in the OpenAPI document.
type shownNeed struct {
	When   string         `json:"when,omitempty" yaml:"when,omitempty"` // a member of the body and its value
	Role   accounts.Role  `json:"role,omitempty" yaml:"role,omitempty"`
	Scope  accounts.Scope `json:"scope,omitempty" yaml:"scope,omitempty"`
	Fresh  string         `json:"fresh,omitempty" yaml:"fresh,omitempty"`
	Own    bool           `json:"own,omitempty" yaml:"own,omitempty"`
	Public bool           `json:"public,omitempty" yaml:"public,omitempty"`
	Anyone bool           `json:"anyone,omitempty" yaml:"anyone,omitempty"`
}

func showNeeds(d api.Demand) (out []shownNeed) {
	member, cases := d.Cases()
	for _, c := range cases {
		n := c.Need
		shown := shownNeed{When: c.When(member), Role: n.Role, Scope: n.Scope, Own: n.Own, Public: n.Public,
			Anyone: n.Anyone}
		if n.Fresh != account.Stale {
			shown.Fresh = n.Fresh.String()
		}
		out = append(out, shown)
	}
	return out
}
