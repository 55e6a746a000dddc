package admin_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
	"latchkey/gateway/admin"
)

// operation is one operation of the OpenAPI document.
type operation struct {
	method, path, id string
	body             bool
	needs            []struct{ When, Role, Scope, Fresh, Own, Public, Anyone any }
}

// listOperations reads the OpenAPI document.
func listOperations(t *testing.T, s *site) (out []operation) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			RequestBody any
			Needs       []struct {
				When, Role, Scope, Fresh, Own, Public,
				Anyone any
			} `json:"x-latchkey-needs"`
		}
	}
	s.must("GET", "/openapi.json", "", &doc)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			out = append(out, operation{strings.ToUpper(method), path, op.OperationID, op.RequestBody != nil,
				op.Needs})
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return cmp.Compare(a.id, b.id) })
	return out
}

// rule is a line of testdata/operations.txt: what an operation needs, as reviewed by a person.
type rule struct {
	id, when           string
	role, scope, fresh string
	who                string // own, public, anyone or machine: who may call it besides that role, or instead
}

func (r rule) String() string {
	return fmt.Sprintf("%-18s %-16s %-9s %-7s %-10s %s", r.id, r.when, r.role, r.scope, r.fresh, r.who)
}

func readRules(t *testing.T) (out []rule, lines []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 6 {
			t.Fatalf("%q: want six fields", line)
		}
		out = append(out, rule{f[0], f[1], f[2], f[3], f[4], f[5]})
		lines = append(lines, strings.Join(f, " "))
	}
	return out, lines
}

// The operations declare what a person has reviewed. A changed declaration or a new operation fails
// here until it is in the table, so that it shows in a diff.
func TestDeclarationsAreReviewed(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Metrics = http.NotFoundHandler() })
	or := func(v any) string {
		if text := fmt.Sprint(v); v != nil && text != "" {
			return text
		}
		return "-"
	}
	var got []string
	for _, op := range listOperations(t, s) {
		if len(op.needs) == 0 {
			t.Errorf("%s declares nothing", op.id)
		}
		for _, n := range op.needs {
			r := rule{op.id, or(n.When), or(n.Role), or(n.Scope), or(n.Fresh), "-"}
			switch {
			case n.Public == true:
				r.who = "public"
			case n.Anyone == true:
				r.who = "anyone"
			case n.Own == true:
				r.who = "own"
			case n.Role == nil && n.Scope == nil:
				r.who = "machine"
			}
			got = append(got, strings.Join(strings.Fields(r.String()), " "))
		}
	}
	_, want := readRules(t)
	slices.Sort(got)
	slices.Sort(want)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("declared, but not in testdata/operations.txt: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("in testdata/operations.txt, but not declared: %s", line)
		}
	}
}

// caller is one kind of principal.
type caller struct {
	name string
	account.Principal
	own bool // asks about its own account
}

// me is the account of every caller that has one.
const me = access.ID("0123456789abcdef")

// listCallers returns principals of every kind, role, freshness and set of scopes, also of kinds,
// roles and scopes that do not exist.
func listCallers() (out []caller) {
	roles := append(slices.Clone(accounts.Roles), "", "emperor")
	out = append(out,
		caller{name: "nobody"},
		caller{name: "unix peer", Principal: account.NewUnixPeer("root")},
		caller{name: "nobody who claims a role", Principal: account.Principal{Account: me,
			Role: accounts.RoleOwner, Scopes: accounts.Scopes, Fresh: account.Second}, own: true},
		caller{name: "integration", Principal: account.Principal{Kind: 99, Account: me,
			Role: accounts.RoleOwner, Scopes: accounts.Scopes, Fresh: account.Second}, own: true})
	for _, role := range roles {
		for _, fresh := range []account.Freshness{account.Stale, account.Confirmed, account.Second} {
			for _, own := range []bool{true, false} {
				p := account.Principal{Kind: account.Session, Account: me, Name: "me", Role: role,
					Fresh: fresh, Scopes: accounts.Scopes}
				out = append(out, caller{fmt.Sprintf("session of %q, %v, own %v", role, fresh, own), p, own})
			}
		}
		for set := range 1 << len(accounts.Scopes) {
			p := account.Principal{Kind: account.Script, Account: me, Name: "me", Role: role,
				Fresh: account.Second, Scopes: []accounts.Scope{"everything"}}
			for i, scope := range accounts.Scopes {
				if set>>i&1 == 1 {
					p.Scopes = append(p.Scopes, scope)
				}
			}
			out = append(out, caller{fmt.Sprintf("token of %q, %v", role, p.Scopes), p, true})
		}
	}
	return out
}

// rank orders roles. A text that is no role has rank 0.
var rank = map[string]int{"viewer": 1, "operator": 2, "admin": 3, "owner": 4}

// findRefusal returns, by the reviewed table, which problem a caller gets; empty: none. It is a
// second implementation of [account.Need.Check].
func (r rule) findRefusal(c caller) string {
	role := rank[string(c.Role)]
	enough := rank[r.role] > 0 && role >= rank[r.role]
	known := c.Kind == account.Nobody || c.Kind == account.UnixPeer || c.Kind == account.Session ||
		c.Kind == account.Script
	if r.who == "anyone" && known {
		return ""
	}
	switch c.Kind {
	case account.UnixPeer:
		return ""
	case account.Session:
		if r.who == "public" {
			return ""
		}
		if !enough && !(r.who == "own" && c.own && role > 0) {
			return account.TypeRole
		}
		if asked := map[string]account.Freshness{"confirmed": 1, "second": 2}[r.fresh]; c.Fresh < asked {
			return account.TypeStep
		}
		return ""
	case account.Script:
		makers := map[string]int{"read": 1, "lamps": 2, "doors": 2, "manage": 3}[r.scope]
		if makers > 0 && slices.Contains(c.Scopes, accounts.Scope(r.scope)) && role >= makers && enough {
			return ""
		}
		return account.TypeScope
	case account.Nobody:
		if r.who == "public" {
			return ""
		}
	}
	return account.TypeSignIn
}

// makeRequest returns a request that changes nothing even if it is allowed: it names records that
// do not exist, or asks for the present state.
func (o operation) makeRequest(t *testing.T, r rule, c caller) *http.Request {
	t.Helper()
	ref := "nothing"
	if c.own && strings.HasPrefix(o.path, "/v1/accounts/") {
		ref = string(me)
	}
	path := strings.NewReplacer("{ref}", ref, "{seq}", "1", "{id}", "nothing", "{member}", "nothing", "{key}",
		"nothing").Replace(o.path)
	body := ""
	if o.body {
		body = "{}"
	}
	if member, value, ok := strings.Cut(r.when, "="); ok {
		all := map[string]any{}
		if o.id == "operate" {
			all["target"] = "nothing"
		}
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		all[member] = v
		b, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		body = string(b)
	}
	req := httptest.NewRequestWithContext(account.WithPrincipal(t.Context(), c.Principal), o.method, path,
		strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

var refusals = []string{account.TypeSignIn, account.TypeRole, account.TypeScope, account.TypeStep}

// Every operation of the document refuses exactly those principals that do not have what the
// reviewed table requires.
func TestEveryOperationAndEveryPrincipal(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Metrics = http.NotFoundHandler() })
	api := s.unvouched
	rules, _ := readRules(t)
	byID := map[string]operation{}
	for _, op := range listOperations(t, s) {
		byID[op.id] = op
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.id == op.id }) {
			t.Errorf("%s is not in testdata/operations.txt", op.id)
		}
	}
	rows, refused := 0, 0
	for _, r := range append(rules, rule{id: "document", when: "-", role: "viewer", scope: "read", fresh: "-",
		who: "-"}) {
		op, ok := byID[r.id]
		if r.id == "document" {
			op, ok = operation{method: "GET", path: "/openapi.json"}, true
		}
		if !ok {
			t.Errorf("there is no operation %s", r.id)
			continue
		}
		for _, c := range listCallers() {
			rows++
			w := httptest.NewRecorder()
			api.ServeHTTP(w, op.makeRequest(t, r, c))
			var problem struct{ Type string }
			_ = json.Unmarshal(w.Body.Bytes(), &problem) // an answer that is not an object is not a refusal
			got := problem.Type
			if !slices.Contains(refusals, got) {
				got = ""
			}
			if got != "" {
				refused++
			}
			own := c
			own.own = c.own && strings.HasPrefix(op.path, "/v1/accounts/")
			want := r.findRefusal(own)
			status := map[string]int{account.TypeSignIn: 401, account.TypeRole: 403, account.TypeScope: 403,
				account.TypeStep: 403}[want]
			if got != want || want != "" && w.Code != status {
				t.Errorf("%s %s: %s: got %d %q, want %q", r.id, r.when, c.name, w.Code, problem.Type, want)
			}
		}
	}
	if rows < 5000 || refused < rows/2 {
		t.Errorf("tried %d rows, %d of them refused: want thousands, most of them refused", rows, refused)
	}
	t.Logf("%d rows, %d refused", rows, refused)
}
