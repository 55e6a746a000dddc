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

// Options are how somebody looks at the website. Site is required.
type Options struct {
	Site          string // its origin, as "https://localhost:8443"; a request to any other fails the test
	Width, Height int64  // in CSS pixels; 1280 by 800 if zero, 390 by 844 of a phone
	Phone         bool   // a phone's screen, two pixels to a CSS pixel, and touch
	Dark          bool   // the person likes it dark
	NoScript      bool   // scripts are switched off
}

// Page is a tab with cookies of its own, as a second person would have. Its methods wait up to 10 s
// for what they need; what they do not get then ends the test, with the text that was to be seen.
// They find things by what Chromium tells a screen reader, and act by mouse and keyboard, so that
// they need no script of the page. They are for one goroutine.
type Page struct {
	t    testing.TB
	ctx  context.Context // chromedp's
	rec  *record
	opts Options

	patience time.Duration // shorter where a test wants to see it end
	in       []string      // the parts of the page, each within the one before, that the helpers keep to
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
		chromedp.WithListener(rec.see))
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
		p.dismiss()
	}()
	t.Cleanup(func() {
		p.judge()
		cancel()
		<-done
	})
	p.do("set up the tab", p.emulate)
	return p
}

// judge fails the test for what was not expected. It waits for what was: a request fails when it
// fails. A last call of the page makes sure that all that happened before it is known.
func (p *Page) judge() {
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	if err := poll(ctx, func(context.Context) error {
		if _, unmet := p.rec.unexpected(); len(unmet) > 0 {
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

// dismiss says no to every dialog, which would stop the page.
func (p *Page) dismiss() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.rec.dialogs:
			ctx, cancel := context.WithTimeout(p.ctx, p.patience)
			// The dialog may be gone with its page; one that is not stops the next helper, which
			// then says so.
			_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
			cancel()
		}
	}
}

func (p *Page) emulate(ctx context.Context) error {
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

// Expect says that a problem whose text has this in it may and must happen, before the test ends.
func (p *Page) Expect(text string) {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	p.rec.expected = append(p.rec.expected, text)
}

// Problems returns what happened so far and was not expected.
func (p *Page) Problems() []string {
	problems, _ := p.rec.unexpected()
	return problems
}

// Requests returns the URLs of all requests so far, in their order.
func (p *Page) Requests() []string {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	return append([]string(nil), p.rec.requests...)
}

// Open goes to a path of the site and waits until it is loaded.
func (p *Page) Open(path string) {
	p.t.Helper()
	p.do("open "+path, func(ctx context.Context) error {
		return chromedp.Do(ctx,
			chromedp.Navigate(p.opts.Site+path))
	})
}

// URL is where the page is.
func (p *Page) URL() string {
	p.t.Helper()
	return evaluate[string](p, "say where the page is", "location.href")
}

// In returns the same page for helpers that keep to one part of it: the region, form, list or the
// like with this accessible name, the row of a table with this header, or what a selector names.
func (p *Page) In(part string) *Page {
	q := *p
	q.in = append(append([]string(nil), p.in...), part)
	return &q
}

// do does one thing within the bound.
func (p *Page) do(what string, f func(context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	if err := f(ctx); err != nil {
		p.fatal(what, err)
	}
}

// until tries again until it works.
func (p *Page) until(what string, f func(context.Context) error) {
	p.t.Helper()
	p.do(what, func(ctx context.Context) error { return poll(ctx, f) })
}

// poll tries until it works or ctx ends, and then returns why it did not.
func poll(ctx context.Context, f func(context.Context) error) error {
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

// evaluate returns what an expression is, or what its promise becomes. With scripts switched off it
// works too, unless it waits for a timer.
func evaluate[T any](p *Page, what, expression string) (v T) {
	p.t.Helper()
	p.do(what, func(ctx context.Context) (err error) {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression,
			func(e *runtime.EvaluateParams) { e.AwaitPromise = new(true) }))
		return err
	})
	return v
}

// settle waits until the page that the last action asked for is there. Chromium tells of the wish
// before it answers the call.
func (p *Page) settle() {
	p.t.Helper()
	p.until("wait for the page", func(ctx context.Context) error {
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

// fatal ends the test, saying what a person would have seen.
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
