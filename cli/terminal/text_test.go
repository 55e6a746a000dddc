package terminal

import "testing"

func TestQuoteWord(t *testing.T) {
	for in, want := range map[string]string{"ann": "ann", "": "''", "ann b": "'ann b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := QuoteWord(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
