package webtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Click clicks with the mouse on the middle of the button, link, box or the like that has this name
// or matches a selector. It waits until the element is there, enabled and not covered, and
// afterwards for the page that it leads to. If a live page moves or replaces the element under the
// mouse, Click does not click anything else, and tries again.
func (p *Page) Click(what string) {
	p.t.Helper()
	p.awaitLoad()
	p.retry(fmt.Sprintf("click %q", what), func(ctx context.Context) error {
		thing, err := p.find(ctx, what, pressed)
		if err != nil {
			return err
		}
		return p.click(ctx, thing)
	})
	p.awaitLoad()
}

// Hold presses the mouse button on the element with this name and keeps it down until release is
// called.
func (p *Page) Hold(what string) (release func()) {
	p.t.Helper()
	p.awaitLoad()
	var at point
	p.retry(fmt.Sprintf("hold %q", what), func(ctx context.Context) error {
		thing, err := p.find(ctx, what, pressed)
		if err != nil {
			return err
		}
		_, at, err = p.aim(ctx, thing)
		return err
	})
	p.runOnce(fmt.Sprintf("hold %q", what), func(ctx context.Context) error {
		return sendMouse(ctx, at, down...)
	})
	return func() {
		p.t.Helper()
		p.runOnce(fmt.Sprintf("let go of %q", what), func(ctx context.Context) error {
			return sendMouse(ctx, at, up...)
		})
		p.awaitLoad()
	}
}

// Fill replaces the value of the field with this label. Dates, times, colours and ranges have the
// form of their values in HTML: "2026-11-29", "18:30", "#ff8800", "40".
func (p *Page) Fill(label, value string) {
	p.t.Helper()
	p.awaitLoad()
	p.retry(fmt.Sprintf("fill %q", label), func(ctx context.Context) error {
		field, err := p.find(ctx, label, filled)
		if err != nil {
			return err
		}
		typed, err := callOn[bool](ctx, field, isTyped)
		if err != nil {
			return err
		}
		if !typed {
			_, err = callOn[bool](ctx, field, setPicked, value)
			return err
		}
		if err := p.click(ctx, field); err != nil {
			return err
		}
		if _, err := callOn[bool](ctx, field, hasFocus); err != nil {
			return err
		}
		if err := typeText(ctx, value); err != nil {
			return err
		}
		_, err = callOn[bool](ctx, field, holds, value)
		return err
	})
}

// Select chooses an option of the list with this label by the arrow keys. A page that acts on each
// change also sees the options in between.
func (p *Page) Select(label, option string) {
	p.t.Helper()
	p.awaitLoad()
	var list runtime.RemoteObjectID
	var steps int
	what := fmt.Sprintf("select %q in %q", option, label)
	p.retry(what, func(ctx context.Context) (err error) {
		if list, err = p.find(ctx, label, chosen); err == nil {
			steps, err = callOn[int](ctx, list, focusList, option)
		}
		return err
	})
	p.runOnce(what, func(ctx context.Context) error {
		key := "ArrowDown"
		if steps < 0 {
			key, steps = "ArrowUp", -steps
		}
		for range steps {
			if err := pressKey(ctx, key); err != nil {
				return err
			}
		}
		_, err := callOn[bool](ctx, list, holdsOption, option)
		return err
	})
	p.awaitLoad()
}

// Press presses a key in the element with the focus: Tab, Enter, Escape, Space, Home, End, ArrowUp,
// ArrowDown, ArrowLeft or ArrowRight.
func (p *Page) Press(key string) {
	p.t.Helper()
	p.awaitLoad()
	p.runOnce("press "+key, func(ctx context.Context) error { return pressKey(ctx, key) })
	p.awaitLoad()
}

// A live page may have replaced an element since it was found, so each of these checks that first.
const (
	// Text cannot be typed into a field for which Chromium shows a picker or several parts.
	isTyped = `function() {
		if (!this.isConnected) throw new Error('it has been replaced')
		if (this.disabled || this.readOnly) throw new Error('it cannot be changed')
		if (this.localName === 'select') throw new Error('it is a list: use Select')
		return !['date', 'time', 'datetime-local', 'month', 'week', 'color', 'range'].includes(this.type)
	}`
	setPicked = `function(value = '') {
		if (!this.isConnected) throw new Error('it has been replaced')
		this.focus()
		this.value = value
		if (this.value !== value) throw new Error('it does not take ' + value + ' and holds ' + this.value)
		this.dispatchEvent(new Event('input', {bubbles: true}))
		this.dispatchEvent(new Event('change', {bubbles: true}))
		return true
	}`
	hasFocus = `function() {
		if (document.activeElement !== this) throw new Error('it did not get the focus')
		return true
	}`
	holds = `function(value = '') { // an empty argument does not arrive
		if (!this.isConnected) throw new Error('it has been replaced')
		if (this.value !== value) throw new Error('it did not take the text')
		return true
	}`
	focusList = `function(want) {
		if (!this.isConnected) throw new Error('it has been replaced')
		if (this.disabled) throw new Error('it cannot be changed')
		const all = [...this.options].filter(o => !o.disabled && !o.hidden)
		const i = all.findIndex(o => o.label.trim() === want)
		if (i < 0) throw new Error('it has no such option, but ' + all.map(o => o.label.trim()).join(', '))
		this.scrollIntoView({block: 'center', behavior: 'instant'})
		this.focus()
		return i - all.indexOf(this.selectedOptions[0])
	}`
	holdsOption = `function(want) {
		if (!this.isConnected) throw new Error('it has been replaced')
		if (this.selectedOptions[0]?.label.trim() !== want) throw new Error('it did not take the option')
		return true
	}`
	// Returns the middle of an element. A box whose own square is hidden is clicked on its label,
	// as a person does. Until ask is called, mouse events that begin on another element do not
	// reach the page.
	aim = `function() {
		if (!this.isConnected) throw new Error('it has been replaced')
		if (this.matches(':disabled, [aria-disabled=true]')) throw new Error('it is disabled')
		for (const e of [this, ...(this.labels ?? [])]) {
			e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})
			const r = e.getClientRects()[0]
			if (!r) continue
			const x = r.x + r.width / 2, y = r.y + r.height / 2
			if (!e.contains(document.elementFromPoint(x, y))) continue
			const types = ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click']
			let down, clicked = false
			const guard = ev => {
				down ??= e.contains(ev.target)
				clicked ||= down && ev.type === 'click' && e.contains(ev.target)
				if (down) return
				ev.preventDefault()
				ev.stopImmediatePropagation()
			}
			for (const t of types) addEventListener(t, guard, {capture: true})
			return {x, y, ask() {
				for (const t of types) removeEventListener(t, guard, {capture: true})
				return clicked
			}}
		}
		throw new Error('something is in front of it, or it has no place')
	}`
)

// point is a place on the screen, in CSS pixels.
type point struct{ X, Y float64 }

func (p *Page) aim(ctx context.Context, thing runtime.RemoteObjectID) (aimed runtime.RemoteObjectID, at point,
	err error) {
	if aimed, err = callForObject(ctx, thing, aim); err == nil {
		at, err = callOn[point](ctx, aimed, `function() { return {x: this.x, y: this.y} }`)
	}
	return aimed, at, err
}

var (
	down = []input.DispatchMouseEventParams{{Type: "mouseMoved"}, {Type: "mousePressed", Button: "left",
		Buttons: 1, ClickCount: 1}}
	up = []input.DispatchMouseEventParams{{Type: "mouseReleased", Button: "left", ClickCount: 1}}
)

func sendMouse(ctx context.Context, at point, events ...input.DispatchMouseEventParams) error {
	for _, e := range events {
		e.X, e.Y = at.X, at.Y
		if _, err := chromedp.Call(ctx, input.DispatchMouseEvent, e); err != nil {
			return err
		}
	}
	return nil
}

// click moves the mouse to the middle of an element and clicks once, or returns an error if the
// element moved away. Without scripts nothing moves, and no listener could tell what was hit.
func (p *Page) click(ctx context.Context, thing runtime.RemoteObjectID) error {
	aimed, at, err := p.aim(ctx, thing)
	if err != nil {
		return err
	}
	if err := sendMouse(ctx, at, append(down[:len(down):len(down)], up...)...); err != nil {
		return err
	}
	// An error here is not a failure: the click may have led to another page.
	clicked, err := callOn[bool](ctx, aimed, `function() { return this.ask() }`)
	if err == nil && !clicked && !p.opts.NoScript {
		return errors.New("it moved away from under the mouse")
	}
	return nil
}

// typeText replaces the text of the field that has the focus.
func typeText(ctx context.Context, value string) error {
	all := input.DispatchKeyEventParams{Type: "rawKeyDown", Key: "a", Code: "KeyA",
		WindowsVirtualKeyCode: 'A', Modifiers: 2, // Ctrl
		Commands: []string{"selectAll"}}
	up := all
	up.Type, up.Commands = "keyUp", nil
	for _, e := range []input.DispatchKeyEventParams{all, up} {
		if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, e); err != nil {
			return err
		}
	}
	if value == "" {
		return pressKey(ctx, "Backspace")
	}
	_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: value})
	return err
}

var keys = map[string]string{"Tab": kb.Tab, "Enter": kb.Enter, "Escape": kb.Escape, "Space": " ",
	"Backspace": kb.Backspace,
	"Home":      kb.Home, "End": kb.End, "ArrowUp": kb.ArrowUp, "ArrowDown": kb.ArrowDown,
	"ArrowLeft": kb.ArrowLeft, "ArrowRight": kb.ArrowRight}

func pressKey(ctx context.Context, key string) error {
	code, ok := keys[key]
	if !ok {
		return errors.New("there is no such key here")
	}
	for _, e := range kb.Encode([]rune(code)[0]) {
		if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, *e); err != nil {
			return err
		}
	}
	return nil
}

// Value returns the value of the field with this label.
func (p *Page) Value(label string) string {
	p.t.Helper()
	var v string
	p.retry(fmt.Sprintf("read %q", label), func(ctx context.Context) error {
		field, err := p.find(ctx, label, filled)
		if err != nil {
			return err
		}
		v, err = callOn[string](ctx, field, `function() { return this.value }`)
		return err
	})
	return v
}

// Focused returns the tag and the label or text of the element with the focus, like "button Save".
func (p *Page) Focused() string {
	p.t.Helper()
	return evaluate[string](p, "say what has the focus",
		`(e => (e.localName + ' ' + (e.labels?.[0]?.innerText ?? e.innerText ?? '').trim()).trim())(document.activeElement)`)
}
