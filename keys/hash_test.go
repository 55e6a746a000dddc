package keys

import (
	"crypto/sha256"
	"strings"
	"testing"
)

func TestTextOfHashes(t *testing.T) {
	want := CredentialID(sha256.Sum256([]byte("04a1")))
	text, err := want.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got CredentialID
	if err := got.UnmarshalText(text); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "04a1", string(text) + "00", string(text[:62]) + "xx",
		strings.Repeat("0", 1000)} {
		if err := got.UnmarshalText([]byte(bad)); err == nil || got != want {
			t.Errorf("%q: got %v, %v, want an error and the value unchanged", bad, got, err)
		}
	}
	var h Hash
	if err := h.UnmarshalText(text); err != nil || h.String() != string(text) {
		t.Errorf("hash: got %v, %v", h, err)
	}
}
