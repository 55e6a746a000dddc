package page

import "testing"

func TestSentence(t *testing.T) {
	for s, want := range map[string]string{"": "", "it is so": "It is so.", "It is so.": "It is so.",
		"ünal is not here": "Ünal is not here.", "日本": "日本.", "\xff": "\xff."} {
		if got := Sentence(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}
