package record

import "testing"

// A kind without a codec would be refused when it is first put, on somebody's site.
func TestEveryKindHasACodec(t *testing.T) {
	for _, k := range Codecs.Policy.Kinds() {
		if c, ok := Codecs.byType[k.RecordType()]; !ok || c.recordKind() != k {
			t.Errorf("%s: no codec: give it one in kinds.go", k.KindName())
		}
	}
}
