package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// How a change ended.
const (
	seen      = "seen"      // a test failed, crashed or did not end
	lives     = "lives"     // all of them passed
	stillborn = "stillborn" // it does not compile
)

// bench compiles one changed file and runs the tests that its object can reach. Each is first tried as
// plain code; what lives is tried with the sanitizers as well.
type bench struct {
	flags []string          // of every compile
	tests map[string][]test // by file, the most likely to see a change first
	dir   string
}

type test struct {
	name  string
	usual time.Duration
}

// variants are the folders of build that hold the objects, and how they were compiled.
var variants = []struct {
	name  string
	flags []string
}{
	{"mut", []string{"-O1"}},
	{"san", []string{"-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread"}},
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

func newBench() (*bench, error) {
	b := &bench{
		flags: append([]string{"-std=c11", "-w"}, strings.Fields(strings.ReplaceAll(os.Getenv("MUTATE_FLAGS"), "'", ""))...),
		tests: map[string][]test{},
	}
	var err error
	if b.dir, err = os.MkdirTemp("build/mutate", "run"); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(b.dir, "include"), 0o755); err != nil {
		return nil, err
	}
	names, err := filepath.Glob("test/test_*.c")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t := strings.TrimSuffix(filepath.Base(name), ".c")
		if err := b.measure(t); err != nil {
			return nil, err
		}
	}
	for file, ts := range b.tests {
		own := "test_" + strings.TrimSuffix(file, ".c")
		sort.SliceStable(ts, func(i, j int) bool {
			if a, b := strings.HasPrefix(ts[i].name, own), strings.HasPrefix(ts[j].name, own); a != b {
				return a
			}
			return ts[i].usual < ts[j].usual
		})
	}
	return b, nil
}

// measure links a test as it is, notes which files of core it has in it, and how long it takes.
func (b *bench) measure(t string) error {
	program, log := filepath.Join(b.dir, t), filepath.Join(b.dir, t+".map")
	args := []string{"-Wl,-Map=" + log, filepath.Join("build/mut/test", t+".o"), "build/mut/libcore.a", "build/mut/libmbedtls.a", "-o", program}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v\n%s", t, err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	began := time.Now()
	if how := runTest(program, time.Minute); how != lives {
		return fmt.Errorf("%s does not pass as it is", t)
	}
	usual := time.Since(began)
	source, err := os.ReadFile(filepath.Join("test", t+".c"))
	if err != nil {
		return err
	}
	core, err := filepath.Glob("core/*.c")
	if err != nil {
		return err
	}
	for _, c := range core {
		file := filepath.Base(c)
		if strings.Contains(string(text), "libcore.a("+strings.TrimSuffix(file, ".c")+".o)") || includes(string(source), file) {
			b.tests[file] = append(b.tests[file], test{t, usual})
		}
	}
	return nil
}

func includes(source, file string) bool { return strings.Contains(source, `#include "`+file+`"`) }

// try tells how a change of a file ends.
func (b *bench) try(m mutant, src string) string {
	changed := filepath.Join(b.dir, "include", m.file)
	if err := os.WriteFile(changed, []byte(m.apply(src)), 0o644); err != nil {
		return err.Error()
	}
	defer os.Remove(changed)
	if len(b.tests[m.file]) == 0 {
		return lives
	}
	for _, v := range variants {
		object := filepath.Join(b.dir, "changed.o")
		if !b.compile(v.flags, changed, object) && m.file != "app.c" {
			return stillborn
		}
		for _, t := range b.tests[m.file] {
			if how := b.tryTest(t, m, v.name, v.flags, object); how != lives {
				return how
			}
		}
	}
	return lives
}

func (b *bench) compile(flags []string, from, to string) bool {
	args := append(append(append([]string{}, flags...), b.flags...), "-c", from, "-o", to)
	return exec.Command("gcc", args...).Run() == nil
}

// tryTest links the test with the changed object, or compiles it around the changed file if it includes that.
func (b *bench) tryTest(t test, m mutant, variant string, flags []string, object string) string {
	program := filepath.Join(b.dir, "program")
	build := filepath.Join("build", variant)
	main := filepath.Join(build, "test", t.name+".o")
	args := append([]string{}, flags...)
	if m.file == "app.c" {
		main = filepath.Join(b.dir, "main.o")
		if !b.compile(append([]string{"-I" + filepath.Join(b.dir, "include")}, flags...), filepath.Join("test", t.name+".c"), main) {
			return stillborn
		}
		args = append(args, main)
	} else {
		args = append(args, main, object)
	}
	args = append(args, filepath.Join(build, "libcore.a"), filepath.Join(build, "libmbedtls.a"), "-o", program)
	if err := exec.Command("gcc", args...).Run(); err != nil {
		return stillborn
	}
	limit := 10*t.usual + time.Second
	if variant == "san" {
		limit *= 5
	}
	return runTest(program, limit)
}

// runTest runs a test for at most so much time of the processor; the machine may be busy, so that the clock
// on the wall gives it ten times as much.
func runTest(program string, limit time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*limit)
	defer cancel()
	seconds := int(limit/time.Second) + 1
	shell := fmt.Sprintf("ulimit -t %d; exec %s", seconds, program)
	cmd := exec.CommandContext(ctx, "sh", "-c", shell)
	if cmd.Run() != nil {
		return seen
	}
	return lives
}
