package provision

import (
	"reflect"
	"testing"
)

// A real shell reads a quoted text as the original word.
func TestQuoteShell(t *testing.T) {
	for _, s := range []string{"", "a", "a b", "'", "a'b''c", `"`, "$(id)", "`id`", "\\", "a\nb", "*", "~",
		"[a]", "#", "{a,b}", "!", "a;b", "a=b", "=a", "é"} {
		runs := runInShell(t, "coap-client-openssl "+QuoteShell(s)+" end")
		if want := [][]string{{s, "end"}}; !reflect.DeepEqual(runs, want) {
			t.Errorf("%q: got %q", s, runs)
		}
	}
}

func TestQuoteShellKeepsPlainWords(t *testing.T) {
	for in, want := range map[string]string{"ann": "ann", "": "''", "ann b": "'ann b'", "it's": `'it'\''s'`,
		"$(x)": "'$(x)'", "--format=text": "--format=text"} {
		if got := QuoteShell(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
