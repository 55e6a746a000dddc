package store

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromises prints the table of PROMISES.md, and checks that each test in it is where it says.
func TestPromises(t *testing.T) {
	b, err := os.ReadFile("PROMISES.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("\\[`(Test\\w+)`\\]\\(([\\w./]+)\\)")
	rows := 0
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 4 || cells[0] == "promise" {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(cells[2], -1)
		if len(tests) == 0 || strings.Count(cells[2], "Test") != len(tests) {
			t.Errorf("%s: want tests with links to their files, got %s", cells[0], cells[2])
		}
		for _, m := range tests {
			code, err := os.ReadFile(filepath.FromSlash(m[2]))
			if err != nil || !strings.Contains(string(code), "\nfunc "+m[1]+"(t *testing.T)") {
				t.Errorf("%s: no %s in %s", cells[0], m[1], m[2])
			}
		}
		t.Logf("%s: %s", cells[0], cells[3])
	}
	if rows < 10 {
		t.Errorf("found %d promises", rows)
	}
}
