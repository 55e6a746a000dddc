package gateway_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Limits on the size of code without its tests, so that a reader can keep a package in mind.
const (
	maxFileLines     = 450
	maxFunctionLines = 70
	maxPackageLines  = 3000
	maxRootLines     = 1200 // of the package gateway, which only joins the others
)

// tooLarge are the files, packages and functions that exceed a limit. Nothing may be added here.
var tooLarge = map[string]bool{
	"firmware/mutate/mutants.go mutants": true,
}

func TestSizes(t *testing.T) {
	packages := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && d.Name() != ".."
		if d.IsDir() && (d.Name() == "testdata" || hidden) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		lines := bytes.Count(src, []byte("\n"))
		packages[filepath.ToSlash(filepath.Dir(rel))] += lines
		if lines > maxFileLines && !tooLarge[name] {
			t.Errorf("%s has %d lines, but a file may have %d: split it by idea", name, lines, maxFileLines)
		}
		checkFunctions(t, name, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, lines := range packages {
		most := maxPackageLines
		if pkg == "gateway" {
			most = maxRootLines
		}
		if lines >= most && !tooLarge[pkg] {
			t.Errorf("package %s has %d lines, but it must have fewer than %d: move a part into a package of its own",
				pkg, lines, most)
		}
	}
}

// checkFunctions checks the length of functions. If a function ends by returning a composite
// literal, a table, the lines of the literal do not count.
func checkFunctions(t *testing.T, name string, src []byte) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		lines := files.Position(fn.End()).Line - files.Position(fn.Pos()).Line + 1
		if table := findTable(fn.Body); table != nil {
			lines -= files.Position(table.End()).Line - files.Position(table.Pos()).Line
		}
		if lines > maxFunctionLines && !tooLarge[name+" "+fn.Name.Name] {
			t.Errorf("%s: %s has %d lines, but a function may have %d: split it, or make it a table",
				name, fn.Name.Name, lines, maxFunctionLines)
		}
	}
}

// findTable returns the composite literal that a function returns at its end, or nil.
func findTable(body *ast.BlockStmt) ast.Node {
	if len(body.List) == 0 {
		return nil
	}
	ret, ok := body.List[len(body.List)-1].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return nil
	}
	if table, ok := ret.Results[0].(*ast.CompositeLit); ok {
		return table
	}
	return nil
}
