package gateway_test

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

// README.md gives a reason for each module that go.mod requires directly, and for no other.
func TestEachDirectRequirementHasAReason(t *testing.T) {
	direct := linesOf(t, "../go.mod", func(line string) (string, bool) {
		path, version, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "require "), " ")
		return path, found && strings.HasPrefix(version, "v") && !strings.HasSuffix(version, "// indirect")
	})
	if len(direct) < 10 {
		t.Fatalf("go.mod cannot be parsed: got only the modules %q", direct)
	}
	named := linesOf(t, "../README.md", func(line string) (string, bool) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.TrimSpace(cells[2]) == "" {
			return "", false
		}
		path, isCode := strings.CutPrefix(strings.TrimSpace(cells[1]), "`")
		path, whole := strings.CutSuffix(path, "`")
		domain, _, hasPath := strings.Cut(path, "/")
		return path, isCode && whole && hasPath && strings.Contains(domain, ".")
	})
	for _, path := range direct {
		if !slices.Contains(named, path) {
			t.Errorf("README.md gives no reason for %s", path)
		}
	}
	for _, path := range named {
		if !slices.Contains(direct, path) {
			t.Errorf("README.md gives a reason for %s, but go.mod does not require it directly", path)
		}
	}
}

// linesOf calls take for each line of a file, and returns the results for which ok is true.
func linesOf(t *testing.T, name string, take func(line string) (found string, ok bool)) (all []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if found, ok := take(lines.Text()); ok {
			all = append(all, found)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
