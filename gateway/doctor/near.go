package doctor

import (
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

// maxSlips is how many wrong characters in an identity still count as a typing error.
const maxSlips = 2

// normalize drops capitals and surrounding spaces, which people type by mistake.
func normalize(text string) string { return strings.ToLower(strings.TrimSpace(text)) }

// isNear tells whether at most maxSlips characters are changed, added or missing between a and b
// (Levenshtein's distance).
func isNear(a, b string) bool {
	if len(a)-len(b) > maxSlips || len(b)-len(a) > maxSlips {
		return false
	}
	row := make([]int, len(b)+1) // row[j] is the distance of a[:i] and b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0] // row[j-1] of the row above
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			d := left
			if a[i] != b[j] {
				d = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], d
			least = min(least, d)
		}
		if least > maxSlips {
			return false
		}
	}
	return row[len(b)] <= maxSlips
}

// Near is an identity that somebody may have mistyped.
type Near struct {
	Identity keys.ID     `json:"identity"`
	Device   audit.Named `json:"device"`
}

// maxNear bounds how many such identities are named.
const maxNear = 3

// nearest returns the identities of usable keys that somebody who typed text may have meant. Text
// may have capitals, surrounding spaces, and two wrong, missing or extra characters. Or it is the
// name of a device instead of its identity.
func nearest(p *access.Policy, text string) (near []Near) {
	add := func(k keys.Key) {
		if k.State.Usable() && len(near) < maxNear {
			near = append(near, Near{k.ID, nameDevice(p, k.Device)})
		}
	}
	text = normalize(text)
	if d, ok := p.DeviceByName(text); ok {
		for _, k := range p.KeysOf(d.ID) {
			add(k)
		}
		return near
	}
	for _, k := range p.Keys {
		if isNear(text, string(k.ID)) {
			add(k)
		}
	}
	slices.SortFunc(near, func(a, b Near) int {
		return strings.Compare(string(a.Identity),
			string(b.Identity))
	})
	return near
}
