package console

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

// tokenPage shows a new token, once.
type tokenPage struct {
	api.MintedToken
	Host string
}

func (v *visit) addToken() error {
	in := api.NewToken{Label: v.readField("label")}
	for _, s := range v.r.PostForm["scope"] {
		in.Scopes = append(in.Scopes, accounts.Scope(s))
	}
	var err error
	if in.Until, err = v.readOptionalTime("until"); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	got, err := call(v, api.AddToken, api.AtWith(v.account.ID, in))
	if err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.showPage(http.StatusOK, "token", tokenPage{got, v.r.Host})
}

func (v *visit) removeToken() error {
	in := api.TokenInput{ByRef: v.nameAccount(), ID: v.r.PathValue("token")}
	if err := v.keepAccount(call(v, api.RemoveToken, in)); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.reportDone("/account", "The token is revoked.")
}

// scriptWait bounds a request of a script. A stream ends then too; the script continues it with a
// new request.
const scriptWait = 15 * time.Minute

// serveScript answers requests with a token: the admin API under /api/, as far as the token's
// scopes allow. It uses no cookies and no pages.
func (c *Console) serveScript(w http.ResponseWriter, r *http.Request) {
	if _, ok := account.Bearer(r); !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="latchkey"`)
		apiProblem(w, http.StatusUnauthorized,
			"want Authorization: Bearer and a token; the website makes them under Account")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), scriptWait)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scriptWait))
	in := r.Clone(ctx)
	in.Header.Del("Cookie")
	account.Describe(in.Header, r, nil)
	c.cfg.API.ServeHTTP(w, in)
}

func apiProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	problem := map[string]any{"title": http.StatusText(status), "status": status, "detail": detail}
	_ = json.NewEncoder(w).Encode(problem) // an error means that the client is gone
}
