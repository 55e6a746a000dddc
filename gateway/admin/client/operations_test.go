package client_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
)

// declared finds the declarations of operations in the text of package api.
var declared = regexp.MustCompile(`http\.Method(\w+),\s+("[^"]+"|account\.ClientPath),\s+"([a-z-]+)"`)

// This package can call exactly what the API answers: the OpenAPI document has each operation that
// package api declares, and no other.
func TestEveryOperationIsAnswered(t *testing.T) {
	files, err := filepath.Glob("../api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(src), -1) {
			path := strings.Trim(strings.Replace(m[2], "account.ClientPath", account.ClientPath, 1), `"`)
			want = append(want, strings.ToUpper(m[1])+" "+path+" "+m[3])
		}
	}

	h := serveOnMachine(newHandler(t, func(c *admin.Config) { c.Metrics = http.NotFoundHandler() }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, operations := range doc.Paths {
		for method, op := range operations {
			got = append(got, strings.ToUpper(method)+" "+path+" "+op.OperationID)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("the document has\n%s\nbut package api declares\n%s", strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
}

// written finds a path of the API, with or without the website's prefix.
var written = regexp.MustCompile(`["\x60](http://[a-z]+)?(/api)?/v1/`)

// Only package api has the paths of operations. Other packages name the operation.
func TestPathsStandInPackageAPI(t *testing.T) {
	const root = "../../.."
	mayWrite := []string{"gateway/admin/api", "gateway/admin", "gateway/admin/openapi", "gateway/account"}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || slices.Contains(mayWrite, filepath.ToSlash(filepath.Dir(name))) {
			return err
		}
		src, err := os.ReadFile(path)
		if written.Match(src) {
			t.Errorf("%s writes a path of the API: call the operation of package api", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
