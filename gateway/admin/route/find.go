package route

import (
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/text"
)

// Missing is the error of a record that does not exist. It says how to list what there is.
func Missing(kind, ref string) error {
	hint := "latchkey " + kind + " list shows what there is"
	switch kind {
	case "key":
		hint = "latchkey device show lists the keys of a device"
	case "token", "passkey":
		hint = "its account's page on the website lists what there is"
	}
	return fmt.Errorf("%s %q: %w: %s", kind, text.Shorten(ref), access.ErrNotFound, hint)
}

// Find looks up a record by id, then by name.
func Find[R any](kind, ref string, byID map[access.ID]R, byName func(string) (R, bool)) (R, error) {
	if r, ok := byID[access.ID(ref)]; ok {
		return r, nil
	}
	if r, ok := byName(ref); ok {
		return r, nil
	}
	var none R
	return none, Missing(kind, ref)
}
