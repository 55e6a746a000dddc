package main

import (
	"bytes"
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
	same      = "same"      // the compiler produces the same code for it
)

// bench compiles one changed file and runs the tests that its object can reach. Each change is
// first tried without sanitizers. If no test sees it, it is tried with the sanitizers as well.
type bench struct {
	flags []string          // for every compile
	tests map[string][]test // by file; the test most likely to see a change comes first
	dir   string

	linked   map[string]string // by variant, the file whose tests are linked now
	original map[string][]byte // the optimized object of each unchanged file
}

type test struct {
	name  string
	usual time.Duration
}

// variants are the folders of build that hold the objects, and how they were compiled.
type variant struct {
	name  string
	flags []string
}

var variants = []variant{
	{"mut", []string{"-O1"}},
	{"san", []string{"-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
		"-fno-sanitize-recover=all", "-pthread"}},
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

func newBench() (*bench, error) {
	b := &bench{
		flags: append([]string{"-std=c11", "-w"},
			strings.Fields(strings.ReplaceAll(os.Getenv("MUTATE_FLAGS"), "'", ""))...),
		tests:    map[string][]test{},
		linked:   map[string]string{},
		original: map[string][]byte{},
	}
	var err error
	if b.dir, err = os.MkdirTemp("build/mutate", "run"); err != nil {
		return nil, err
	}
	if err := b.measureAll(); err != nil {
		b.close()
		return nil, err
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

func (b *bench) measureAll() error {
	for _, name := range []string{"include", variants[0].name, variants[1].name} {
		if err := os.Mkdir(filepath.Join(b.dir, name), 0o755); err != nil {
			return err
		}
	}
	names, err := filepath.Glob("test/test_*.c")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := b.measure(strings.TrimSuffix(filepath.Base(name), ".c")); err != nil {
			return err
		}
	}
	return nil
}

// measure links a test with the unchanged core, and notes which files of core are in it and how
// long it runs.
func (b *bench) measure(t string) error {
	program, log := filepath.Join(b.dir, t), filepath.Join(b.dir, t+".map")
	args := []string{"-Wl,-Map=" + log, filepath.Join("build/mut/test", t+".o"), "build/mut/libcore.a",
		"build/mut/libmbedtls.a", "-o", program}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v\n%s", t, err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	began := time.Now()
	if how := runTest(program, time.Minute); how != lives {
		return fmt.Errorf("%s fails without a change", t)
	}
	usual := time.Since(began)
	core, err := filepath.Glob("core/*.c")
	if err != nil {
		return err
	}
	for _, c := range core {
		file := filepath.Base(c)
		if strings.Contains(string(text), "libcore.a("+strings.TrimSuffix(file, ".c")+".o)") {
			b.tests[file] = append(b.tests[file], test{t, usual})
		}
	}
	return nil
}

// try returns how a change of a file ends.
func (b *bench) try(m mutant, src string) (string, error) {
	if len(b.tests[m.file]) == 0 {
		return lives, nil
	}
	changed := filepath.Join(b.dir, "include", m.file)
	defer os.Remove(changed)
	for i, v := range variants {
		if err := b.link(v, m.file, changed, src); err != nil {
			return "", err
		}
		if err := os.WriteFile(changed, []byte(m.apply(src)), 0o644); err != nil {
			return "", err
		}
		// Changes that no test sees cost the most time, so we check for the same code before the
		// slow second variant.
		if i == 1 && b.sameCode(m, changed, src) {
			return same, nil
		}
		if !b.compile(v.shared(), changed, b.library(v)) {
			return stillborn, nil
		}
		for _, t := range b.tests[m.file] {
			program := b.program(v, t.name)
			limit := 10*t.usual + time.Second
			if i == 1 {
				limit *= 5
			}
			if how := runTest(program, limit); how != lives {
				return how, nil
			}
		}
	}
	return lives, nil
}

// We compile the changed file into a shared library, so that the tests of a file are linked once
// and not once for each change.
func (v variant) shared() []string { return append([]string{"-fPIC", "-shared"}, v.flags...) }
func (v variant) archives() []string {
	return []string{"build/" + v.name + "/libcore.a", "build/" + v.name + "/libmbedtls.a"}
}

func (b *bench) library(v variant) string           { return filepath.Join(b.dir, v.name, "changed.so") }
func (b *bench) program(v variant, t string) string { return filepath.Join(b.dir, v.name, t) }

// link links the tests of a file with the file as a shared library, unless that is done already.
func (b *bench) link(v variant, file, changed, src string) error {
	if b.linked[v.name] == file {
		return nil
	}
	if err := os.WriteFile(changed, []byte(src), 0o644); err != nil {
		return err
	}
	if !b.compile(v.shared(), changed, b.library(v)) {
		return fmt.Errorf("%s does not compile without a change", file)
	}
	for _, t := range b.tests[file] {
		main := filepath.Join("build", v.name, "test", t.name+".o")
		dir, err := filepath.Abs(filepath.Dir(b.library(v)))
		if err != nil {
			return err
		}
		flags := append([]string{"-rdynamic", "-Wl,-rpath," + dir, main, b.library(v)}, v.archives()...)
		args := append(append(append([]string{}, v.flags...), flags...), "-o", b.program(v, t.name))
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %v\n%s", t.name, err, out)
		}
		if how := runTest(b.program(v, t.name), time.Minute); how != lives {
			return fmt.Errorf("%s fails with %s as a shared library", t.name, file)
		}
	}
	b.linked[v.name] = file
	return nil
}

// sameCode tells whether an optimizing compiler produces the same code for the changed file as for
// the original. Then the change makes no difference.
func (b *bench) sameCode(m mutant, changed, src string) bool {
	code := b.optimized(changed)
	if b.original[m.file] == nil { // compiled from the same path, because an object contains it
		if err := os.WriteFile(changed, []byte(src), 0o644); err != nil {
			return false
		}
		b.original[m.file] = b.optimized(changed)
		if err := os.WriteFile(changed, []byte(m.apply(src)), 0o644); err != nil {
			return false
		}
	}
	return code != nil && bytes.Equal(code, b.original[m.file])
}

func (b *bench) optimized(file string) []byte {
	object := filepath.Join(b.dir, "optimized.o")
	if !b.compile([]string{"-O2", "-c"}, file, object) {
		return nil
	}
	code, err := os.ReadFile(object)
	if err != nil {
		return nil
	}
	return code
}

func (b *bench) compile(flags []string, from, to string, more ...string) bool {
	args := append(append([]string{}, flags...), b.flags...)
	return exec.Command("gcc", append(append(args, from), append(more, "-o", to)...)...).Run() == nil
}

// runTest runs a test within a limit of CPU time. The limit of wall time is ten times as long,
// since the machine may be busy.
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
