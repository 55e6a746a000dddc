// Package page draws the pages of the website: templates, what stands on all of them, pictures of
// schedules and latencies, and how doors, lamps, devices and events look. It shows only the data
// that it is given. It calls no API and knows nothing about requests.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"

	"github.com/dustin/go-humanize"

	"latchkey/gateway/access/accounts"
)

//go:embed all:templates static
var files embed.FS

// Static returns the style, the script and the picture that pages refer to.
func Static() (fs.FS, error) { return fs.Sub(files, "static") }

// section is an entry of the navigation.
type section struct {
	Name, Path, Label string
	Owner             bool // only for owners
}

var sections = []section{
	{"home", "/", "Home", false},
	{"events", "/events", "Events", false},
	{"people", "/people", "People", false},
	{"devices", "/devices", "Devices", false},
	{"why", "/why", "Why", false},
	{"health", "/health", "Health", false},
	{"account", "/account", "Account", false},
	{"admins", "/admins", "Admins", true},
}

// Pages are the templates of all pages.
type Pages struct {
	byName map[string]*template.Template
}

// Draw returns the whole page that the view names.
func (p *Pages) Draw(in *View) (*bytes.Buffer, error) { return p.execute(in.Page, "layout", in) }

// DrawPart returns a piece of the page that the view names, for live updates.
func (p *Pages) DrawPart(name string, in *View) (*bytes.Buffer, error) {
	return p.execute(in.Page, name, in)
}

func (p *Pages) execute(page, name string, in any) (*bytes.Buffer, error) {
	t, ok := p.byName[page]
	if !ok {
		return nil, fmt.Errorf("page: no page %q", page)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, in); err != nil {
		return nil, fmt.Errorf("page: %s: %w", page, err)
	}
	return &b, nil
}

// Parse reads each page together with the templates that all pages share.
func Parse() (*Pages, error) {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	stamps, err := stampStatic()
	if err != nil {
		return nil, err
	}
	shared := template.New("").Funcs(template.FuncMap{
		"static":   func(name string) string { return "/static/" + name + "?" + stamps[name] },
		"sentence": Sentence,
		"span":     span,
		"bytes":    humanize.Bytes,
		"dict":     dict,
		"roles":    func() []accounts.Role { return accounts.Roles },
		"pages":    func() []section { return sections },
	})
	pages := map[string]*template.Template{}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if !strings.HasPrefix(base, "_") {
			pages[base] = nil
		}
	}
	if shared, err = shared.ParseFS(files, "templates/_*.html"); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	for name := range pages {
		t, err := shared.Clone()
		if err == nil {
			t, err = t.ParseFS(files, "templates/"+name+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("page: %s: %w", name, err)
		}
		pages[name] = t
	}
	return &Pages{pages}, nil
}

// stampStatic returns a hash of each file's content. It is part of the address, so that a browser
// loads a file again only after a change.
func stampStatic() (map[string]string, error) {
	stamps := map[string]string{}
	entries, err := fs.ReadDir(files, "static")
	for _, e := range entries {
		b, err := fs.ReadFile(files, "static/"+e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		stamps[e.Name()] = hex.EncodeToString(sum[:6])
	}
	return stamps, err
}

// dict hands several values to a template.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is not a name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}
