package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/store"
)

// exchanges are the requests and answers of the tests, one JSON object a line.
var exchanges struct {
	mu    sync.Mutex
	lines bytes.Buffer // guarded by mu
}

// exchange is one request and its answer, in the form that lint/conform.mjs reads.
type exchange struct {
	Test   string     `json:"test"`
	Method string     `json:"method"`
	Path   string     `json:"path"`
	Query  url.Values `json:"query"`
	Sent   string     `json:"sent"`
	Status int        `json:"status"`
	Type   string     `json:"type"`
	Body   string     `json:"body"`
}

// noteExchange stores a request and its answer, to compare them with the OpenAPI document later.
func noteExchange(t *testing.T, r *http.Request, sent string, w *httptest.ResponseRecorder) {
	t.Helper()
	if strings.HasPrefix(r.URL.Path, "/openapi") || w.Code == http.StatusMethodNotAllowed ||
		strings.Contains(w.Body.String(), "there is nothing here") {
		return // this is not an operation
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	line, err := json.Marshal(exchange{t.Name(), strings.ToLower(r.Method), r.URL.EscapedPath(),
		r.URL.Query(),
		sent, w.Code, kind, w.Body.String()})
	if err != nil {
		t.Fatal(err)
	}
	exchanges.mu.Lock()
	defer exchanges.mu.Unlock()
	exchanges.lines.Write(append(line, '\n'))
}

// The OpenAPI document describes what the API does: every request of the tests, and every answer,
// must be described there. A validator that we did not write checks them against the schemas.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && exchanges.lines.Len() > 0 {
		if out, err := compareExchanges(); err != nil {
			fmt.Printf("--- FAIL: the OpenAPI document does not have what the tests saw: %v "+
				"(make deps installs what it takes)\n%s\n", err, out)
			code = 1
		}
	}
	os.Exit(code)
}

func compareExchanges() ([]byte, error) {
	dir, err := os.MkdirTemp("", "conform")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = st.Close() }()
	api := account.As(account.NewUnixPeer("tester"),
		admin.New(admin.Config{Store: st, Metrics: http.NotFoundHandler()}))
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc := filepath.Join(dir, "openapi.json")
	if err := os.WriteFile(doc, w.Body.Bytes(), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "conform.mjs", doc)
	cmd.Dir = "lint"
	cmd.Stdin = &exchanges.lines
	return cmd.CombinedOutput()
}
