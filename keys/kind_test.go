package keys_test

import (
	"testing"

	"latchkey/keys"
)

func TestKinds(t *testing.T) {
	for _, k := range keys.Kinds {
		if got, err := keys.ParseKind(string(k)); err != nil || got != k {
			t.Errorf("got %q, %v, want %q", got, err, k)
		}
	}
	if _, err := keys.ParseKind("door"); err == nil {
		t.Error("kind door: got nil, want an error")
	}
	if keys.Kind("").Actuator() {
		t.Error("the zero kind is an actuator")
	}
}
