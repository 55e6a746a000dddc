package provision

import (
	"reflect"
	"testing"
)

// A real shell takes what was quoted for the word that it was.
func TestQuoteShell(t *testing.T) {
	for _, s := range []string{"", "a", "a b", "'", "a'b''c", `"`, "$(id)", "`id`", "\\", "a\nb", "*", "~",
		"[a]", "#", "{a,b}", "!", "a;b", "a=b", "=a", "é"} {
		runs := shellArgs(t, "coap-client-openssl "+QuoteShell(s)+" end")
		if want := [][]string{{s, "end"}}; !reflect.DeepEqual(runs, want) {
			t.Errorf("%q: got %q", s, runs)
		}
	}
}

func TestQuoteShellLeavesPlainWords(t *testing.T) {
	for in, want := range map[string]string{"ann": "ann", "": "''", "ann b": "'ann b'", "it's": `'it'\''s'`,
		"$(x)": "'$(x)'", "--format=text": "--format=text"} {
		if got := QuoteShell(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
