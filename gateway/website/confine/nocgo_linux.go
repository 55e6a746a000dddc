//go:build !cgo

package confine

var linkedC, missingC []string

const (
	linkedWithC = false
	stacksOfC   = 0
)

func rulesC() []rule { return nil }
