package webtest

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const form = `<h1>A form</h1><a href="#f">Skip</a> <a href="/list.csv">List</a>
<a href="/list.csv" download>Save the list</a>
<form id="f" method="post" action="/sent">
<label for="n">Your name</label><input id="n" name="name" value="old">
<label>Password <input type="password" name="password"></label>
<label>Floor <input type="number" name="floor"></label>
<label>Day <input type="date" name="day"></label>
<label>Level <input type="range" name="level" min="0" max="100"></label>
<label>Note <textarea name="note">x</textarea></label>
<label>Lamp <select name="lamp"><option disabled selected>choose</option><option>Hall</option>
<option>Porch</option><option>Attic</option></select></label>
<fieldset><legend>When</legend><label><input type="radio" name="when" value="now">Now</label>
<label><input type="radio" name="when" value="later">Later</label></fieldset>
<style>.off { position: absolute; clip-path: inset(50%); width: 1px; height: 1px }</style>
<input class="off" type="checkbox" id="c" name="sure" value="yes"><label for="c">I am sure</label>
<details><summary>More</summary><label>Extra <input name="extra"></label></details>
<div style="height: 3000px"></div>
<button>Send</button></form>`

// The methods for forms and links work the same without scripts.
func TestFormWorks(t *testing.T) {
	t.Parallel()
	for name, noScript := range map[string]bool{"with scripts": false, "without scripts": true} {
		for _, phone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s phone %v", name, phone), func(t *testing.T) {
				t.Parallel()
				p := Start(t).Page(t, Options{Site: serveSite(t, form), NoScript: noScript, Phone: phone})
				p.Open("/")
				p.See("A form")
				p.DontSee("Extra")
				p.Fill("Your name", "Ann Ü")
				if got := p.Value("Your name"); got != "Ann Ü" {
					t.Errorf("got a name of %q, want %q", got, "Ann Ü")
				}
				p.Fill("Password", "two words")
				p.Fill("Floor", "2")
				p.Fill("Day", "2026-11-29")
				p.Fill("Level", "40")
				p.Fill("Note", "")
				p.Select("Lamp", "Attic")
				p.Select("Lamp", "Porch")
				p.Click("Later")
				p.Click("I am sure")
				p.Click("More")
				p.Fill("Extra", "e")
				p.Click("Skip")
				p.Click("List")
				p.Click("Save the list")
				p.Click("Send")
				p.See("Got it")
				want := "day=2026-11-29&extra=e&floor=2&lamp=Porch&level=40&name=Ann+%C3%9C&note=&" +
					"password=two+words&sure=yes&when=later"
				if got := p.Text(); got != "Got it "+want {
					t.Errorf("got %q, want %q", got, "Got it "+want)
				}
			})
		}
	}
}

func TestNoScriptRunsNone(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t,
		Options{Site: serveSite(t,
			`<noscript>no scripts here</noscript><script src="/page.js?error"></script>`),
			NoScript: true})
	p.Open("/")
	p.See("no scripts here")
}

func TestSeesWhatAScriptChangesLater(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t,
		Options{Site: serveSite(t,
			`<p>the lamp is off</p><button>On</button><script src="/page.js?later"></script>`)})
	p.Open("/")
	p.Click("On")
	p.See("the lamp is on")
	p.DontSee("off")
}

// Even on a page that moves and replaces its elements all the time, the right element is clicked.
func TestPageThatMoves(t *testing.T) {
	t.Parallel()
	for _, phone := range []bool{false, true} {
		p := Start(t).Page(t, Options{Phone: phone, Site: serveSite(t, `
			<style>button, label { display: block; height: 40px; margin: 0; padding: 0 }</style>
			<p></p><form method="post" action="/sent"><label>Level <input type="range" name="level"></label>
			<button name="b" value="right">Right</button><button name="b" value="wrong">Wrong</button></form>
			<script src="/page.js?live"></script>`)})
		for range 2 {
			p.Open("/")
			p.Fill("Level", "40")
			p.Click("Right")
			if got := p.Text(); got != "Got it b=right&level=40" {
				t.Errorf("phone %v: got %q, want the form of the right button", phone, got)
			}
		}
	}
}

// A page with an endless stream of events counts as loaded, and leaving it does not count as a
// failed request.
func TestStreamOfEvents(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t,
		Options{Site: serveSite(t,
			`<p>nothing yet</p><a href="/got">Leave</a><script src="/page.js?stream"></script>`)})
	p.Open("/")
	p.See("the door opened")
	p.Click("Leave")
	p.See("Got it")
	p.Open("/")
	p.See("the door opened")
}

func TestInLooksOnlyInAPart(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t, Options{Site: serveSite(t, `
		<section aria-labelledby="a"><h2 id="a">Front</h2><form method="post" action="/sent">
		<button name="unlock" value="front">Unlock</button></form></section>
		<section aria-labelledby="b" id="back"><h2 id="b">Back</h2><form method="post" action="/sent">
		<button name="unlock" value="back">Unlock</button></form></section>
		<table><tr><th>Who<th>Card<tr><th scope="row">Ann<td>red<tr><th scope="row">Bob<td>blue</table>`)})
	p.Open("/")
	p.In("Front").DontSee("Back")
	p.In("#back").DontSee("Front")
	p.In("Bob").See("blue")
	p.In("Bob").DontSee("red")
	p.In("Back").Click("Unlock")
	p.See("unlock=back")
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t, Options{Site: serveSite(t, `<form method="post" action="/sent">
		<label>Name <input name="name" value="x"></label><button name="b" value="1">Save</button></form>`)})
	p.Open("/")
	p.Press("Tab")
	p.Press("Tab")
	if got := p.Focused(); got != "button Save" {
		t.Errorf("got the focus on %q, want button Save", got)
	}
	p.Press("Enter")
	p.See("b=1&name=x")
}

func TestPagesHaveCookiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	b, origin := Start(t), serveSite(t, `
		<form method="post" action="/sent"><button name="who" value="ann">Sign in</button></form>`)
	ann, bob := b.Page(t, Options{Site: origin}), b.Page(t, Options{Site: origin})
	ann.Open("/")
	ann.Click("Sign in")
	ann.See("who=ann")
	bob.Open("/got")
	bob.See("nothing")
}

func TestPasskey(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t,
		Options{Site: serveSite(t,
			`<p>none</p><button>Add a passkey</button><script src="/page.js?passkey"></script>`)})
	p.Authenticator()
	p.Open("/")
	p.Click("Add a passkey")
	p.See("the passkey is known")
}

func TestAnotherTabIsNoticed(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t,
		Options{Site: serveSite(t, `<button>Open</button><script src="/page.js?opener"></script>`)})
	p.Open("/")
	p.Click("Open")
	p.Expect("another tab")
}

func TestAxe(t *testing.T) {
	t.Parallel()
	b := Start(t)
	bad := b.Page(t, Options{Site: serveSite(t, `
		<h1>Lamp</h1><img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">
		<p style="color:#ccc;background:#fff">faint</p>`)})
	bad.Open("/")
	found := map[string]Violation{}
	for _, v := range bad.Axe() {
		found[v.Rule] = v
	}
	for _, rule := range []string{"image-alt", "color-contrast"} {
		if v := found[rule]; len(v.Targets) != 1 || v.Help == "" || v.Impact != "critical" &&
			v.Impact != "serious" {
			t.Errorf("%s: got %v, want one serious violation", rule, v)
		}
	}
	good := b.Page(t, Options{Site: serveSite(t, `<h1>Lamp</h1><p>plain</p>`)})
	good.Open("/")
	if got := good.Axe(); len(got) != 0 {
		t.Errorf("got %v for a plain page, want no violation", got)
	}
}

func TestSizeAndFirstPaint(t *testing.T) {
	t.Parallel()
	const filler = 50_000
	p := Start(t).Page(t,
		Options{Site: serveSite(t, `<h1>Big</h1><!--`+strings.Repeat("x",
			filler)+`--><script src="/page.js?nothing"></script>`)})
	p.Open("/")
	for range 2 {
		if got := p.Size(); got < filler || got > filler+2000 {
			t.Errorf("got %d bytes, want a little more than %d", got, filler)
		}
		if got := p.FirstPaint(); got <= 0 || got > patience {
			t.Errorf("got a first paint after %v, want some milliseconds", got)
		}
		p.Open("/")
	}
}

func TestScreenshot(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opts          Options
		width, height int
	}{
		"of a desk":       {Options{}, 1280, 2000},
		"of a desk, dark": {Options{Dark: true, Width: 800, Height: 600}, 800, 2000},
		"of a phone":      {Options{Phone: true}, 780, 4000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.opts.Site = serveSite(t, `<style>:root { color-scheme: light dark }
				body { margin: 0; padding: 0.1px; box-sizing: border-box; height: 2000px;
					font: 2rem sans-serif }
				@media (prefers-color-scheme: light) { body { background: #fff } }
				@media (prefers-color-scheme: dark) { body { background: #000 } }</style>
				<p>Front door: shut</p><p>Öffnen, fermé, 25 °C</p>`)
			p := Start(t).Page(t, tc.opts)
			p.Open("/")
			file := filepath.Join(t.TempDir(), "page.png")
			p.Screenshot(file)
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if b := img.Bounds(); b.Dx() != tc.width || b.Dy() != tc.height {
				t.Errorf("got %v, want %d by %d", b, tc.width, tc.height)
			}
			r, _, _, _ := img.At(tc.width-1, tc.height-1).RGBA()
			if dark := r == 0; dark != tc.opts.Dark {
				t.Errorf("got dark %v, want %v", dark, tc.opts.Dark)
			}
		})
	}
}

func TestFillRefusesTextForADate(t *testing.T) {
	t.Parallel()
	b, origin := Start(t), serveSite(t, `<label>Day <input type="date"></label>`)
	got := runFailing(t, func(tb testing.TB) {
		p := b.Page(tb, Options{Site: origin})
		p.Open("/")
		p.patience = time.Second
		p.Fill("Day", "soon")
	})
	if want := "it does not take soon"; !strings.Contains(got, want) {
		t.Errorf("got %q, want it to say %q", got, want)
	}
}

func TestLinkAndScreen(t *testing.T) {
	t.Parallel()
	p := Start(t).Page(t,
		Options{Site: serveSite(t,
			`<a href="/x?a=1&amp;b=%2F">Go</a><p class="near">here</p>
			<div style="height: 3000px"></div><p class="far">there</p>`)})
	p.Open("/")
	if got, want := p.Link("Go"), p.URL()+"x?a=1&b=%2F"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.SeeOnScreen(".near")
	for what, see := range map[string]func(testing.TB){"below the screen": func(t testing.TB) {
		q := *p
		q.t, q.patience = t, 100*time.Millisecond
		q.SeeOnScreen(".far")
	}, "no link": func(t testing.TB) {
		q := *p
		q.t, q.patience = t, 100*time.Millisecond
		q.Link("Stay")
	}} {
		if said := runFailing(t, see); said == "" {
			t.Errorf("%s: got no failure, want one", what)
		}
	}
}
