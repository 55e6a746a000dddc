package webtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Text returns the visible text, with single spaces.
func (p *Page) Text() string {
	p.t.Helper()
	var seen string
	p.retry("read the page", func(ctx context.Context) (err error) {
		seen, err = p.readText(ctx)
		return err
	})
	return seen
}

// See waits until a text is visible. It compares the text as a style sheet shows it, for instance
// in capitals.
func (p *Page) See(text string) {
	p.t.Helper()
	p.retry(fmt.Sprintf("see %q", text), func(ctx context.Context) error {
		if seen, err := p.readText(ctx); err != nil || strings.Contains(seen, joinWords(text)) {
			return err
		}
		return errors.New("it is not there")
	})
}

// DontSee waits until a text is no longer visible.
func (p *Page) DontSee(text string) {
	p.t.Helper()
	p.retry(fmt.Sprintf("not see %q", text), func(ctx context.Context) error {
		if seen, err := p.readText(ctx); err != nil || !strings.Contains(seen, joinWords(text)) {
			return err
		}
		return errors.New("it is there")
	})
}

func (p *Page) readText(ctx context.Context) (string, error) {
	at, err := p.find(ctx, "", nil)
	if err != nil {
		return "", err
	}
	if p.rec.isLoading() {
		return "", errors.New("it is still loading")
	}
	s, err := callOn[string](ctx, at,
		`function() { return (this === document ? this.body : this).innerText }`)
	return joinWords(s), err
}

func joinWords(s string) string { return strings.Join(strings.Fields(s), " ") }

// Screenshot writes a picture of the whole page as PNG, not only of what fits the window.
func (p *Page) Screenshot(file string) {
	p.t.Helper()
	p.awaitLoad()
	p.runOnce("take a picture", func(ctx context.Context) error {
		size, err := chromedp.Run(ctx, chromedp.Evaluate[struct{ Width, Height float64 }](
			`(e => ({width: innerWidth, height: Math.max(innerHeight, e.scrollHeight)}))(
				document.documentElement)`))
		if err != nil {
			return err
		}
		shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: "png",
			CaptureBeyondViewport: new(true),
			Clip:                  &page.Viewport{Width: size.Width, Height: size.Height, Scale: 1}})
		if err != nil {
			return err
		}
		return os.WriteFile(file, shot.Data, 0o644)
	})
}

// Size returns how many bytes were received for the open page and all that it loads, with headers,
// as they were sent: compressed, if they were. What came from the browser's cache is not counted,
// and neither is an answer that has not ended, such as a stream of events.
func (p *Page) Size() int64 {
	p.t.Helper()
	p.awaitLoad()
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	return p.rec.bytes
}

// FirstPaint returns the time from the start of the navigation until the first text or picture was
// drawn.
func (p *Page) FirstPaint() time.Duration {
	p.t.Helper()
	var ms float64
	p.retry("wait for the first paint", func(ctx context.Context) (err error) {
		ms, err = chromedp.Run(ctx, chromedp.Evaluate[float64](
			`performance.getEntriesByName('first-contentful-paint')[0].startTime`))
		return err
	})
	return time.Duration(ms * float64(time.Millisecond))
}

// Link returns the address that the link with this name leads to.
func (p *Page) Link(what string) string {
	p.t.Helper()
	var to string
	p.retry(fmt.Sprintf("read where %q leads", what), func(ctx context.Context) error {
		link, err := p.find(ctx, what, pressed)
		if err == nil {
			to, err = callOn[string](ctx, link, `function() { return this.href ?? '' }`)
		}
		if err == nil && to == "" {
			err = errors.New("it leads nowhere")
		}
		return err
	})
	return to
}

// SeeOnScreen waits until all of an element is visible without scrolling. The selector names the
// element within the page's part.
func (p *Page) SeeOnScreen(selector string) {
	p.t.Helper()
	p.retry(fmt.Sprintf("see %s on the screen", selector), func(ctx context.Context) error {
		thing, err := p.find(ctx, selector, nil)
		if err != nil {
			return err
		}
		why, err := callOn[string](ctx, thing, `function() {
			const r = this.getBoundingClientRect()
			if (r.height && r.top >= 0 && r.left >= 0 && r.bottom <= innerHeight && r.right <= innerWidth)
				return ''
			return 'it is from ' + Math.round(r.top) + ' to ' + Math.round(r.bottom) +
				' of a screen of ' + innerHeight
		}`)
		if err == nil && why != "" {
			err = errors.New(why)
		}
		return err
	})
}
