package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a plain name is not quoted", "ann", "ann"},
		{"any script is not quoted", "Zoë 山田", "Zoë 山田"},
		{"an empty text is visible", "", `""`},
		{"an escape does not reach a terminal", "e\x1bve", `"e\x1bve"`},
		{"a direction override is visible", "e\u202eve", `"e\u202eve"`},
		{"a space at the end is visible", "eve ", `"eve "`},
		{"bytes that are not UTF-8 are visible", "e\xffve", `"e\xffve"`},
	} {
		if got := Quote(tt.in); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestMakePlain(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"the name of a package in front is removed", "access: person ann: invalid", "person ann: invalid"},
		{"several of them are removed", "store: access: no", "no"},
		{"the name of a package inside is not removed", "person store: no", "person store: no"},
	} {
		if got := MakePlain(tt.in); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("short")
	f.Add(strings.Repeat("ä", 400))
	f.Add("x" + strings.Repeat("山", 400))
	f.Add(strings.Repeat("\x80", 1000)) // no byte here begins a letter
	f.Fuzz(func(t *testing.T, s string) {
		got := Shorten(s)
		switch {
		case len(s) <= maxText && got != s:
			t.Errorf("got %q, want a short text unchanged", got)
		case len(got) > maxText+len(" … "):
			t.Errorf("got %d bytes", len(got))
		case utf8.ValidString(s) && !utf8.ValidString(got):
			t.Errorf("%q: got half a letter", s)
		}
	})
}
