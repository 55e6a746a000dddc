package webtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Violation is a rule of accessibility that a page breaks.
type Violation struct {
	Rule    string   // the id of the rule in axe-core
	Impact  string   // serious or critical
	Help    string   // what to do
	Targets []string // selectors of the elements
}

func (v Violation) String() string {
	return fmt.Sprintf("%s (%s): %s: %q", v.Rule, v.Impact, v.Help, v.Targets)
}

// Axe returns the violations on the page that axe-core calls serious or critical. Scripts must not
// be switched off.
func (p *Page) Axe() []Violation {
	p.t.Helper()
	if p.opts.NoScript {
		p.t.Fatal("webtest: axe-core needs scripts: look at a page that has them")
	}
	axe, err := axeCore()
	if err != nil {
		p.t.Fatal(err)
	}
	p.awaitLoad()
	p.runOnce("load axe-core", func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](string(axe),
			func(e *runtime.EvaluateParams) { e.ReturnByValue = new(false) }))
	})
	return evaluate[[]Violation](p, "run axe-core", `
		axe.run(document, {resultTypes: ['violations'], preload: false}).then(r => r.violations
			.filter(v => v.impact === 'serious' || v.impact === 'critical')
			.map(v => ({rule: v.id, impact: v.impact, help: v.help,
				targets: v.nodes.map(n => n.target.join(' '))})))`)
}

// axeCore reads axe-core from the folder where npm installs it. It finds that folder from the root
// of the module, so that the tests of any package can use it.
func axeCore() ([]byte, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	axe, err := os.ReadFile(filepath.Join(dir, "gateway", "console", "webtest", "node_modules", "axe-core",
		"axe.min.js"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("webtest: no axe-core: make deps installs it, " +
			"or npm ci in gateway/console/webtest")
	}
	return axe, err
}
