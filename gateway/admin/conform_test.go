package admin_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/store"
)

// published is the OpenAPI document, as somebody else's program reads it.
var published = sync.OnceValues(func() (validator.Validator, error) {
	s, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	h := account.As(account.NewUnixPeer("tester"), admin.New(admin.Config{Store: s, Metrics: http.NotFoundHandler()}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/openapi.json", nil))
	doc, err := libopenapi.NewDocument(w.Body.Bytes())
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return v, nil
})

// conforms fails the test if an answer is none that the document describes, or if the document would
// not have a request that was carried out.
func conforms(t *testing.T, r *http.Request, sent string, w *httptest.ResponseRecorder) {
	t.Helper()
	if strings.HasPrefix(r.URL.Path, "/openapi") || w.Code == http.StatusMethodNotAllowed ||
		strings.Contains(w.Body.String(), "there is nothing here") {
		return // no operation
	}
	v, err := published()
	if err != nil {
		t.Fatal(err)
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(strings.NewReader(sent))
	if account.PrincipalOf(r.Context()).Kind == account.Nobody { // it comes in through admin.sock
		again.Header.Set("Authorization", "Bearer token")
		again.AddCookie(&http.Cookie{Name: account.SessionCookie, Value: "cookie"})
	}
	if w.Code/100 == 2 {
		if ok, errs := v.ValidateHttpRequestSync(again); !ok {
			t.Errorf("%s %s %s was carried out, and is not in the OpenAPI document:", r.Method, r.URL, sent)
			for _, e := range errs {
				t.Errorf("  %s %s", e.Message, e.Reason)
			}
		}
	}
	resp := w.Result()
	resp.Body = io.NopCloser(bytes.NewReader(w.Body.Bytes()))
	if ok, errs := v.ValidateHttpResponse(again, resp); !ok {
		t.Errorf("%s %s: the answer %d %s is not in the OpenAPI document:", r.Method, r.URL, w.Code, w.Body)
		for _, e := range errs {
			t.Errorf("  %s %s", e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("    %s %s", s.FieldPath, s.Reason)
			}
		}
	}
}
