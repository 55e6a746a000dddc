package route

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

// maxBody bounds a request's body.
const maxBody = 1 << 20

// Bounded limits the size of requests, and answers with a problem where the mux would answer with
// plain text.
type Bounded struct{ Mux *http.ServeMux }

func (b Bounded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(context.WithValue(r.Context(), arrivedKey{}, time.Now()))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	if strings.HasPrefix(r.URL.Path, "/openapi") { // huma's own route, which no operation declares
		if refused := api.ToLook().Check(account.PrincipalOf(r.Context()), false); refused != nil {
			writeRefusal(w, refused)
			return
		}
	}
	if _, pattern := b.Mux.Handler(r); pattern != "" {
		b.Mux.ServeHTTP(w, r)
		return
	}
	status, detail := http.StatusNotFound, "there is nothing here: see /openapi.json"
	if allow := b.allowed(r); len(allow) > 0 {
		status, detail = http.StatusMethodNotAllowed, "want "+strings.Join(allow, ", ")
		w.Header().Set("Allow", strings.Join(allow, ", "))
	}
	writeProblem(w, status, detail)
}

type arrivedKey struct{}

// ArrivedAt returns when the request began to arrive. A command counts from that moment, because
// the body may have been slow.
func ArrivedAt(ctx context.Context) time.Time {
	if t, ok := ctx.Value(arrivedKey{}).(time.Time); ok {
		return t
	}
	return time.Now()
}

func (b Bounded) allowed(r *http.Request) (methods []string) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := b.Mux.Handler(probe); pattern != "" {
			methods = append(methods, m)
		}
	}
	return methods
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// An error means that the client is gone.
	_ = json.NewEncoder(w).Encode(&huma.ErrorModel{Title: http.StatusText(status), Status: status,
		Detail: detail})
}
