package account

import (
	"context"
	"fmt"
	"strings"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Bounds of a code, in digits. Whoever may try three in a minute, then ever slower, and 20 a day,
// finds one of six digits in 68 years on average.
const (
	MinDoorCode = 6 // of a code that opens a door, and of a PIN
	minCode     = 4
	maxCode     = 12
)

// HashCode returns the hash to store for a code of digits. It fails with [access.ErrInvalid] if the
// code has fewer than least digits, more than 12, or is one that people try first. The error does
// not repeat the code.
func (r *Registry) HashCode(ctx context.Context, code string, least int) (keys.Hidden, error) {
	if err := checkCode(code, max(least, minCode)); err != nil {
		return keys.Hidden{}, err
	}
	return r.passwords.make(ctx, code)
}

func checkCode(code string, least int) error {
	switch {
	case len(code) < least || len(code) > maxCode || strings.Trim(code, "0123456789") != "":
		return fmt.Errorf("code: %w: want %d to %d digits", access.ErrInvalid, least, maxCode)
	case isSeries(code):
		return fmt.Errorf("code: %w: people try this one first: choose another", access.ErrInvalid)
	}
	return nil
}

// isSeries tells whether each digit differs from the one before by the same step of -1, 0 or 1, as
// in 123456, or the code repeats a shorter part, as in 121212.
func isSeries(code string) bool {
	for step := -1; step <= 1; step++ {
		same := true
		for i := 1; i < len(code); i++ {
			same = same && int(code[i])-int(code[i-1]) == step
		}
		if same {
			return true
		}
	}
	for part := 1; part <= len(code)/2; part++ {
		if len(code)%part == 0 && strings.Repeat(code[:part], len(code)/part) == code {
			return true
		}
	}
	return false
}

// CodeChecker checks codes against their hashes, one at a time: each check takes 19 MiB.
type CodeChecker struct{ hasher hasher }

// NewCodeChecker returns a checker of codes.
func NewCodeChecker() *CodeChecker { return &CodeChecker{newHasherOf(1)} }

// Fits tells whether a code matches a hash. It waits until no other check is under way.
func (c *CodeChecker) Fits(ctx context.Context, hash keys.Hidden, code string) (bool, error) {
	if len(code) > maxCode {
		return false, nil
	}
	fits, _, err := c.hasher.fits(ctx, hash.Reveal(), code)
	return fits, err
}
