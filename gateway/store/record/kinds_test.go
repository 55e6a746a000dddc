package record

import "testing"

// Without this test, a kind without a codec would only fail when somebody puts the first record of
// it.
func TestEveryKindHasACodec(t *testing.T) {
	for _, k := range Codecs.Policy.Kinds() {
		if c, ok := Codecs.byType[k.RecordType()]; !ok || c.recordKind() != k {
			t.Errorf("%s: no codec: give it one in kinds.go", k.KindName())
		}
	}
}
