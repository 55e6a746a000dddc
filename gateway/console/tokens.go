package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
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
	of, token, err := v.tokenOf(text)
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
	who := account.Principal{Kind: account.Script, Account: of.ID, Name: of.Name, Role: of.Role, Token: token.ID, Scopes: token.Scopes}
	ctx, cancel := context.WithTimeout(account.WithPrincipal(r.Context(), who), scriptWait)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scriptWait))
	var wg sync.WaitGroup
	wg.Go(func() { v.watchToken(ctx, text, cancel) })
	in := r.Clone(ctx)
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
	err := v.callItself(http.MethodPost, "/v1/tokens/check", map[string]string{"token": text}, &got)
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
