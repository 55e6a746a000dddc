package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// tokenPage is a token that is shown once.
type tokenPage struct {
	admin.MintedToken
	Host string
}

func (v *visit) addToken() error {
	in := admin.NewToken{Label: v.field("label")}
	for _, s := range v.r.PostForm["scope"] {
		in.Scopes = append(in.Scopes, access.Scope(s))
	}
	var err error
	if in.Until, err = v.optionalTime("until"); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	var got admin.MintedToken
	if err := v.post(v.own()+"/tokens", in, &got); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.show(http.StatusOK, "token", tokenPage{got, v.r.Host})
}

func (v *visit) removeToken() error {
	if err := v.call(http.MethodDelete, v.own()+"/tokens/"+v.ref("token"), nil, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.done("/account", "The token lets nobody in any more.")
}

// scopeRole is the role that an account must have for its token to have a scope: a token is never more than who made it.
var scopeRole = map[access.Scope]access.Role{access.ScopeRead: access.RoleViewer, access.ScopeLamps: access.RoleOperator,
	access.ScopeDoors: access.RoleOperator, access.ScopeManage: access.RoleAdmin}

// forScripts are the parts of the admin API that scripts reach. Accounts, tokens, set-up and sign-ins are not among them.
var forScripts = []string{"site", "lockdown", "time", "targets", "devices", "keys", "persons", "cards", "groups", "schedules", "grants", "explain", "events",
	"audit", "operate", "alarms", "status", "doctor", "latency"}

// scopeOf is what a request of the API needs, empty if it is not for scripts. It looks at a decoded path; the API's router does so, too.
func scopeOf(method, path string, body []byte) access.Scope {
	if method == http.MethodGet && (path == "/healthz" || path == "/metrics" || path == "/openapi.json" || path == "/openapi.yaml") {
		return access.ScopeRead
	}
	rest, ok := strings.CutPrefix(path, "/v1/")
	first, _, _ := strings.Cut(rest, "/")
	switch {
	case !ok || !slices.Contains(forScripts, first):
		return ""
	case method == http.MethodGet, path == "/v1/explain", path == "/v1/audit/verify":
		return access.ScopeRead
	case first == "alarms":
		return access.ScopeDoors
	case first == "operate":
		var order admin.Order
		if json.Unmarshal(body, &order) != nil {
			return access.ScopeDoors // and the API says what is wrong with it
		}
		if slices.Contains([]string{"on", "off", "toggle", "level"}, order.Action) {
			return access.ScopeLamps
		}
		return access.ScopeDoors
	}
	return access.ScopeManage
}

// scriptWait bounds a request of a script; what streams ends then, too, and goes on with another.
const scriptWait = 15 * time.Minute

// script answers requests with a token, with no cookie and no page: the admin API under /api/, as far as the token's scopes go.
func (c *Console) script(w http.ResponseWriter, r *http.Request) {
	text, ok := bearer(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="latchkey"`)
		apiProblem(w, http.StatusUnauthorized, "want Authorization: Bearer and a token; the website makes them under Account")
		return
	}
	v := &visit{Console: c, w: w, r: r}
	account, token, err := v.tokenOf(text)
	if err != nil {
		c.cfg.Log.Error("token not checked", "err", err)
		apiProblem(w, http.StatusServiceUnavailable, "tokens cannot be checked now")
		return
	}
	if token.ID == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="latchkey", error="invalid_token"`)
		apiProblem(w, http.StatusUnauthorized, "this token is nobody's, or is over")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		apiProblem(w, http.StatusRequestEntityTooLarge, "the body is too long, or ended early")
		return
	}
	scope := scopeOf(r.Method, r.URL.Path, body)
	if scope == "" || !slices.Contains(token.Scopes, scope) || !account.Role.Includes(scopeRole[scope]) {
		need := "is not for tokens"
		if scope != "" {
			need = "needs the scope " + string(scope) + ", and an account whose role may do that"
		}
		apiProblem(w, http.StatusForbidden, "this "+need)
		return
	}
	ctx, cancel := context.WithTimeout(admin.WithActor(r.Context(), account.Name+"@api"), scriptWait)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scriptWait))
	var wg sync.WaitGroup
	wg.Go(func() { v.watchToken(ctx, text, cancel) })
	in := r.Clone(ctx)
	in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	in.Header.Del("Authorization")
	in.Header.Del("Cookie")
	c.cfg.API.ServeHTTP(w, in)
	cancel()
	wg.Wait()
}

// bearer is the token that a script has sent, and false if it cannot be one.
func bearer(r *http.Request) (text string, ok bool) {
	text, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return text, ok && len(text) <= 128
}

func (v *visit) tokenOf(text string) (admin.Account, admin.Token, error) {
	var got struct {
		Fits    bool
		Account admin.Account
		Token   admin.Token
	}
	err := v.post("/v1/tokens/check", map[string]string{"token": text}, &got)
	if err != nil || !got.Fits {
		return admin.Account{}, admin.Token{}, err
	}
	return got.Account, got.Token, nil
}

// watchToken ends what a token began when it is taken back.
func (v *visit) watchToken(ctx context.Context, text string, end func()) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, token, err := v.tokenOf(text); err != nil || token.ID == "" {
				end()
				return
			}
		}
	}
}

func apiProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}) // whoever asked is gone
}
