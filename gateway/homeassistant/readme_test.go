package homeassistant_test

import (
	"os"
	"strings"
	"testing"

	"latchkey/gateway/homeassistant"
	"latchkey/gateway/homeassistant/hatest"
)

// The access list that the tests use is the one in the README.
func TestReadmeHasTheAccessList(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(hatest.ACL("SITE")) {
		if line != "\n" {
			line = "   " + line
		}
		lines = append(lines, line)
	}
	if !strings.Contains(string(readme), strings.Join(lines, "")) {
		t.Errorf("README.md does not have:\n%s", strings.Join(lines, ""))
	}
	for _, reason := range homeassistant.Refusals() {
		if !strings.Contains(string(readme), "`"+reason+"`") {
			t.Errorf("README.md does not explain %s", reason)
		}
	}
}
