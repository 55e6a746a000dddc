package admin_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/gateway/admin"
)

// Two linters that we did not write find nothing in the OpenAPI document.
func TestDocumentPassesLinters(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Metrics = http.NotFoundHandler() })
	_, text := s.do("GET", "/openapi.json", "")
	doc := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "warn", doc},
		{"redocly", "lint", "--config", "redocly.yaml", doc},
	} {
		t.Run(c[0], func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", c[0]), c[1:]...)
			cmd.Dir = "lint"
			cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %v (make deps installs it)\n%s", c, err, out)
			}
		})
	}
}
