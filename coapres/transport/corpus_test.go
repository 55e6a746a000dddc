package transport

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// leastReached is what the committed seeds of the fuzz targets reach without any fuzzing: at least so
// many of a hundred statements of each package, or of one file. CONTRIBUTING.md says what the seeds
// are. When a parser grows and this test fails, give it a seed that reaches the new statements.
var leastReached = map[string]int{
	"latchkey/coapres/transport/record/":         95,
	"latchkey/coapres/transport/record/protect/": 74, // the rest makes and prints keys
	"latchkey/coapres/transport/record/ccm/":     90,
	"latchkey/coapres/transport/message/":        93,
	"latchkey/coapres/transport/demux.go":        74, // not what notes a moved address: no seed may move one
}

func TestSeedsReachTheParsers(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile")
	out, err := exec.Command("go", "test", "-count=1", "-run", "^Fuzz", "-coverprofile", profile, ".",
		"./record", "./record/protect", "./record/ccm", "./message").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	all, reached := map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(b)) { // file.go:from,to statements times
		file, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) != 3 {
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, part := range []string{file, file[:strings.LastIndex(file, "/")+1]} {
			if all[part] += n; fields[2] != "0" {
				reached[part] += n
			}
		}
	}
	for part, least := range leastReached {
		if all[part] == 0 {
			t.Errorf("%s: got no statement, want some: was it renamed?", part)
			continue
		}
		got := float64(100*reached[part]) / float64(all[part])
		t.Logf("%s: %.1f %% of %d statements", part, got, all[part])
		if got < float64(least) {
			t.Errorf("%s: the seeds reach %.1f %% of the statements, want %d %%", part, got, least)
		}
	}
}
