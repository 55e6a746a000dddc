package webtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// roles is a set of accessibility roles, by Chromium's names.
type roles map[string]bool

func rolesOf(names ...string) roles {
	r := roles{}
	for _, n := range names {
		r[n] = true
	}
	return r
}

var (
	pressed = rolesOf("button", "link", "checkbox", "radio", "switch", "tab", "menuitem",
		"DisclosureTriangle", "DisclosureTriangleGrouped")
	filled = rolesOf("textbox", "searchbox", "spinbutton", "combobox", "slider", "Date", "DateTime",
		"InputTime", "ColorWell")
	chosen = rolesOf("combobox", "listbox")
	parts  = rolesOf("region", "article", "group", "form", "search", "dialog", "alertdialog", "navigation",
		"table", "row", "rowheader",
		"list", "listitem", "complementary", "main", "banner", "contentinfo", "radiogroup", "tabpanel",
		"figure")
)

// find returns the one element within the page's part that has this accessible name and one of the
// roles, or that matches a selector, which starts with "#", "." or "[".
func (p *Page) find(ctx context.Context, what string, of roles) (runtime.RemoteObjectID, error) {
	at, err := findDocument(ctx)
	for _, part := range p.in {
		if err != nil {
			return "", err
		}
		if at, err = findWithin(ctx, at, part, parts); err == nil {
			at, err = callForObject(ctx, at,
				`function() { return this.localName === 'th' ? this.closest('tr') : this }`)
		}
	}
	if err != nil || what == "" {
		return at, err
	}
	return findWithin(ctx, at, what, of)
}

func findDocument(ctx context.Context) (runtime.RemoteObjectID, error) {
	doc, err := chromedp.Run(ctx, chromedp.Evaluate[*runtime.RemoteObject]("document"))
	if err != nil {
		return "", err
	}
	return doc.ObjectID, nil
}

func findWithin(ctx context.Context, at runtime.RemoteObjectID, what string,
	of roles) (runtime.RemoteObjectID, error) {
	if strings.IndexAny(what, "#.[") == 0 {
		return findBySelector(ctx, at, what)
	}
	ax, err := chromedp.Call(ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: at,
		AccessibleName: what})
	if err != nil {
		return "", err
	}
	var nodes []cdp.BackendNodeID
	for _, n := range ax.Nodes {
		if !n.Ignored && n.Role != nil && of[parseString(n.Role.Value)] {
			nodes = append(nodes, n.BackendDOMNodeID)
		}
	}
	if len(nodes) == 0 {
		return "", fmt.Errorf("nothing of that kind is called %q", what)
	}
	if len(nodes) > 1 {
		return "", fmt.Errorf("%d things are called %q: say which one by In", len(nodes), what)
	}
	res, err := chromedp.Call(ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: nodes[0]})
	if err != nil {
		return "", err
	}
	return res.Object.ObjectID, nil
}

func findBySelector(ctx context.Context, at runtime.RemoteObjectID, selector string) (runtime.RemoteObjectID,
	error) {
	n, err := callOn[int](ctx, at, `function(s) { return this.querySelectorAll(s).length }`, selector)
	if err != nil {
		return "", err
	}
	if n != 1 {
		return "", fmt.Errorf("%d things are %s, want 1", n, selector)
	}
	return callForObject(ctx, at, `function(s) { return this.querySelector(s) }`, selector)
}

// callOn calls a function with an object of the page as this, and returns its result.
func callOn[T any](ctx context.Context, at runtime.RemoteObjectID, function string, args ...any) (T, error) {
	return chromedp.Run(ctx, chromedp.CallFunctionOn[T](function, onto(at), args...))
}

// callForObject does the same for a function that returns an object.
func callForObject(ctx context.Context, at runtime.RemoteObjectID, function string,
	args ...any) (runtime.RemoteObjectID, error) {
	o, err := chromedp.Run(ctx, chromedp.CallFunctionOn[*runtime.RemoteObject](function, onto(at), args...))
	if err != nil {
		return "", err
	}
	if o.ObjectID == "" {
		return "", errors.New("it is gone")
	}
	return o.ObjectID, nil
}

func onto(at runtime.RemoteObjectID) chromedp.CallOption {
	return func(c *runtime.CallFunctionOnParams) {
		c.ObjectID = at
	}
}

// parseString returns the string that a JSON value is; empty if it is not a string.
func parseString(v []byte) (s string) {
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}
