package account

import (
	"context"
	"errors"
	"testing"

	"latchkey/gateway/access"
)

func TestCheckCode(t *testing.T) {
	for code, fits := range map[string]bool{
		"271828": true, "0271828": true, "314159265358": true,
		"27182": false, "3141592653589": false, "": false, "27182a": false, "२७१८२८": false, " 271828": false,
		"000000": false, "123456": false, "987654": false, "121212": false, "271271": false,
	} {
		if err := checkCode(code, MinDoorCode); (err == nil) != fits ||
			err != nil && !errors.Is(err, access.ErrInvalid) {
			t.Errorf("%q: got %v, want fits %v", code, err, fits)
		}
	}
	if err := checkCode("2718", minCode); err != nil {
		t.Errorf("four digits for a lamp: %v", err)
	}
}

func TestCodesFitTheirHashesOnly(t *testing.T) {
	ctx, codes := context.Background(), NewCodeChecker()
	hash, err := codes.hasher.make(ctx, "271828")
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]bool{"271828": true, "271829": false, "": false,
		"2718281828459": false} {
		if got, err := codes.Fits(ctx, hash, code); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", code, got, err, want)
		}
	}
	if fits, err := codes.Fits(ctx, access.Grant{}.Code, "271828"); fits || err == nil {
		t.Errorf("no hash: got %v, %v, want an error", fits, err)
	}
}
