package doctor

import (
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// maxSlips is how many characters of an identity a person gets wrong in one go.
const maxSlips = 2

// normalize drops what is easily typed too much: capitals, and spaces around.
func normalize(text string) string { return strings.ToLower(strings.TrimSpace(text)) }

// isNear tells whether b is a with at most maxSlips characters changed, put in or left out
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
		left := row[0] // of the row above, one to the left
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

// Near is an identity that another one may be a slip of.
type Near struct {
	Identity keys.ID      `json:"identity"`
	Device   access.Named `json:"device"`
}

// maxNear bounds how many are named.
const maxNear = 3

// nearest returns the identities of usable keys that somebody may have meant who typed text: at
// most two characters are wrong, missing or too many, besides capitals and spaces around it; or
// text is the name of a device, which is no identity.
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
