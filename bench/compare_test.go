package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clone makes a repository of two commits. The first has package one, the second also has package
// two.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=test", "-c",
			"user.email=test@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} { // go.mod names benchstat as a tool
		b, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, b)
	}
	code := func(name string) {
		write(name+"/x_test.go", []byte("package "+name+"\n\nimport \"testing\"\n\n"+
			"func BenchmarkNothing(b *testing.B) {\n\tfor b.Loop() {\n\t}\n}\n"))
	}
	git("init", "-q")
	code("one")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	code("two")
	git("add", ".")
	git("commit", "-q", "-m", "two")
	return dir
}

func TestCompare(t *testing.T) {
	dir := clone(t)
	script, err := filepath.Abs("compare.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, ref, where, bench, want string }{
		{"another commit", "HEAD~1", "./one", ".", "Nothing"},
		{"no commit of that name", "nowhere", "./one", ".", "REF=nowhere is no commit here"},
		{"no REF", "", "./one", ".", "say with what"},
		{"a package that is not there yet", "HEAD~1", "./one ./two", ".", "HEAD~1 has no package ./two"},
		{"no benchmark of that name", "HEAD", "./one", "Something",
			"nothing matches BENCH=Something in HEAD"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, "sh", script, tc.ref)
		temp := t.TempDir()
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "BENCH="+tc.bench, "COUNT=1", "BENCHTIME=1x",
			"PKGS="+tc.where, "TMPDIR="+temp, "GOWORK=off")
		out, err := cmd.CombinedOutput()
		cancel()
		if compared := tc.want == "Nothing"; !strings.Contains(string(out), tc.want) ||
			compared != (err == nil) || compared != strings.Contains(string(out), "sec/op") {
			t.Errorf("%s: got %v and %s\nwant %q", tc.name, err, out, tc.want)
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", tc.name, left, err)
		}
		trees, err := exec.Command("git", "-C", dir, "worktree", "list").Output()
		if err != nil || strings.Count(string(trees), "\n") != 1 {
			t.Errorf("%s: left behind %s, %v", tc.name, trees, err)
		}
	}
}
