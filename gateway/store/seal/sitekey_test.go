package seal

import (
	"fmt"
	"testing"
)

func TestSiteKeyDoesNotPrint(t *testing.T) {
	k := NewSiteKey()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, secret := range []any{k, k.DeriveKeys()} {
			if got := fmt.Sprintf(verb, secret); got != "[redacted]" {
				t.Errorf("%s of a %T: got %q, want [redacted]", verb, secret, got)
			}
		}
	}
}

func FuzzParseSiteKey(f *testing.F) {
	f.Add(SiteKey{}.Text())
	f.Add(NewSiteKey().Text())
	f.Add("latchkey-site-key-1 ")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseSiteKey(text); err == nil && k.Text() != text {
			t.Errorf("%q parses, but Text returns another text", text)
		}
	})
}
