package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/door"
)

// Programs get the list of reasons from the OpenAPI document, so none may be missing.
func TestReasonsAreAll(t *testing.T) {
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			consts, ok := decl.(*ast.GenDecl)
			if !ok || consts.Tok != token.CONST {
				continue
			}
			for _, spec := range consts.Specs {
				for _, reason := range reasonsOf(f, spec.(*ast.ValueSpec)) {
					if found++; !slices.Contains(Reasons, reason) {
						t.Errorf("%s: the reason %q is not in audit.Reasons", path, reason)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range door.Headlines {
		if h.Alarm() {
			if found++; !slices.Contains(Reasons, access.Reason(h)) {
				t.Errorf("the reason %q of an alarm is not in audit.Reasons", h)
			}
		}
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(Reasons)))); n != len(Reasons) || found != n {
		t.Errorf("%d different reasons of %d in the list, and %d in the code: want the same", n,
			len(Reasons), found)
	}
}

// reasonsOf returns the constants of the type access.Reason that are declared with a text.
func reasonsOf(f *ast.File, spec *ast.ValueSpec) (out []access.Reason) {
	switch of := spec.Type.(type) {
	case *ast.SelectorExpr:
		if pkg, ok := of.X.(*ast.Ident); !ok || pkg.Name != "access" || of.Sel.Name != "Reason" {
			return nil
		}
	case *ast.Ident: // refusal is another name of it
		if !(f.Name.Name == "access" && of.Name == "Reason" || of.Name == "refusal") {
			return nil
		}
	default:
		return nil
	}
	for _, v := range spec.Values {
		if text, ok := v.(*ast.BasicLit); ok && text.Kind == token.STRING {
			s, err := strconv.Unquote(text.Value)
			if err != nil {
				return nil
			}
			out = append(out, access.Reason(s))
		}
	}
	return out
}
