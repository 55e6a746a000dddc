package main

import (
	"os"
	"path/filepath"
	"testing"
)

// If a test cannot be linked or fails, the run ends and leaves none of its files in the build
// folder.
func TestBenchThatFailsLeavesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"build/mutate", "test"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("test/test_missing.c", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := newBench(); err == nil {
		t.Fatal("newBench with a test that was not compiled: no error")
	}
	left, err := filepath.Glob("build/mutate/*")
	if err != nil || len(left) != 0 {
		t.Fatalf("left behind: %q, %v", left, err)
	}
}
