package webtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Options says how somebody looks at the website. Site is required.
type Options struct {
	Site          string // its origin, like "https://localhost:8443"; a request to another one fails the test
	Width, Height int64  // in CSS pixels; 1280 by 800 if zero, 390 by 844 of a phone
	Phone         bool   // a phone's screen, two pixels to a CSS pixel, and touch
	Dark          bool   // the person prefers dark colours
	NoScript      bool   // scripts are switched off
}

// Page is a tab with its own cookies, like that of a second person. Its methods wait for what they
// need, at most a minute; if they do not get it, they end the test with the visible text. They find
// elements by the names that Chromium gives a screen reader, and act by mouse and keyboard, so they
// need no script in the page. They may be called from one goroutine only.
type Page struct {
	t    testing.TB
	ctx  context.Context // chromedp's
	rec  *record
	opts Options

	patience time.Duration // bounds each wait; tests of failures make it short
	in       []string      // the parts of the page, each within the one before, in which the methods look
}

// Page opens a tab. When the test ends, it fails if the page had an error that the test did not
// [Page.Expect]: a message of the console, an exception, a violation of the content security
// policy, a failed request, a dialog or a request to another host.
func (b *Browser) Page(t testing.TB, opts Options) *Page {
	t.Helper()
	if u, err := url.Parse(opts.Site); err != nil || u.Host == "" || opts.Site != u.Scheme+"://"+u.Host {
		t.Fatalf("webtest: %q is no origin: want https://HOST:PORT", opts.Site)
	}
	rec := newRecord(opts.Site)
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(),
		chromedp.WithListener(rec.recordEvent))
	p := &Page{t: t, ctx: ctx, rec: rec, opts: opts, patience: patience}
	// The tab lives as long as the context of its first call.
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		t.Fatalf("webtest: open a tab: %v", err)
	}
	rec.mu.Lock()
	rec.main = cdp.FrameID(chromedp.FromContext(ctx).Target.TargetID)
	rec.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.dismissDialogs()
	}()
	t.Cleanup(func() {
		p.checkProblems()
		cancel()
		<-done
	})
	p.runOnce("set up the tab", p.emulateScreen)
	return p
}

// checkProblems fails the test if there were problems that it did not expect, or if expected ones
// do not come in time. A last call of the page makes sure that all earlier problems are known.
func (p *Page) checkProblems() {
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	if err := pollUntil(ctx, func(context.Context) error {
		if _, unmet := p.rec.listUnexpected(); len(unmet) > 0 {
			return fmt.Errorf("the page had no problem with %q, want one", unmet)
		}
		return nil
	}); err != nil {
		p.t.Error(err)
	}
	if _, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: "1"}); err != nil &&
		ctx.Err() == nil {
		p.t.Errorf("the tab does not answer any more: %v", err)
	}
	for _, s := range p.Problems() {
		p.t.Errorf("the page had a problem: %s", s)
	}
}

// dismissDialogs closes every dialog, because a dialog stops the page.
func (p *Page) dismissDialogs() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.rec.dialogs:
			ctx, cancel := context.WithTimeout(p.ctx, p.patience)
			// An error means that the dialog has ended with its page. If it has not, the next
			// method fails and says so.
			_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
			cancel()
		}
	}
}

func (p *Page) emulateScreen(ctx context.Context) error {
	o, scale := p.opts, 1.0
	if o.Phone {
		scale = 2
	}
	if o.Width == 0 || o.Height == 0 {
		if o.Width, o.Height = 1280, 800; o.Phone {
			o.Width, o.Height = 390, 844
		}
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: o.Width, Height: o.Height, DeviceScaleFactor: scale, Mobile: o.Phone})
	_, err2 := chromedp.Call(ctx, emulation.SetTouchEmulationEnabled,
		emulation.SetTouchEmulationEnabledParams{Enabled: o.Phone})
	_, err3 := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	_, err4 := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: o.NoScript})
	return errors.Join(err, err2, err3, err4)
}

// Expect says that a problem whose text contains this must happen before the test ends.
func (p *Page) Expect(text string) {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	p.rec.expected = append(p.rec.expected, text)
}

// Problems returns the problems so far that were not expected.
func (p *Page) Problems() []string {
	problems, _ := p.rec.listUnexpected()
	return problems
}

// Requests returns the URLs of all requests so far, in their order.
func (p *Page) Requests() []string {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	return append([]string(nil), p.rec.requests...)
}

// Open opens a path of the site and waits until it has loaded.
func (p *Page) Open(path string) {
	p.t.Helper()
	p.runOnce("open "+path, func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.Navigate(p.opts.Site+path))
	})
}

// URL returns the address of the page.
func (p *Page) URL() string {
	p.t.Helper()
	return evaluate[string](p, "say where the page is", "location.href")
}

// In returns the same page with methods that look only in one part of it: the region, form, list or
// the like with this accessible name, the row of a table with this header, or the element that a
// selector names.
func (p *Page) In(part string) *Page {
	q := *p
	q.in = append(append([]string(nil), p.in...), part)
	return &q
}

// runOnce runs f once, for at most p.patience. An error ends the test.
func (p *Page) runOnce(what string, f func(context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	if err := f(ctx); err != nil {
		p.fatal(what, err)
	}
}

// retry runs f until it succeeds.
func (p *Page) retry(what string, f func(context.Context) error) {
	p.t.Helper()
	p.runOnce(what, func(ctx context.Context) error { return pollUntil(ctx, f) })
}

// pollUntil runs f until it succeeds. If ctx ends first, it returns the last error of f.
func pollUntil(ctx context.Context, f func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := f(ctx)
	for last != nil {
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
		if err := f(ctx); err == nil || ctx.Err() == nil {
			last = err
		}
	}
	return nil
}

// evaluate returns the value of an expression, or of its promise. It also works if scripts are
// switched off, unless the expression waits for a timer.
func evaluate[T any](p *Page, what, expression string) (v T) {
	p.t.Helper()
	p.runOnce(what, func(ctx context.Context) (err error) {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression,
			func(e *runtime.EvaluateParams) { e.AwaitPromise = new(true) }))
		return err
	})
	return v
}

// awaitLoad waits until the page that the last action asked for has loaded. Chromium reports the
// request for a page before it answers the call.
func (p *Page) awaitLoad() {
	p.t.Helper()
	p.retry("wait for the page", func(ctx context.Context) error {
		if _, err := chromedp.Call(ctx, runtime.Evaluate,
			runtime.EvaluateParams{Expression: "1"}); err != nil {
			return err
		}
		if p.rec.isLoading() {
			return errors.New("it is still loading")
		}
		return nil
	})
}

// fatal ends the test with the text that a person would have seen.
func (p *Page) fatal(what string, err error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	where, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
	seen, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body?.innerText ?? ''"))
	msg := fmt.Sprintf("%s: %v", what, err)
	if len(p.in) > 0 {
		msg += "\nwithin: " + strings.Join(p.in, ", ")
	}
	for _, s := range p.Problems() {
		msg += "\nproblem: " + s
	}
	p.t.Fatalf("%s\nat: %s\nto be seen:\n%s", msg, where, seen)
}
