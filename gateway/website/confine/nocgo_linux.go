//go:build !cgo

package confine

var linkedC, missingC []string

const linkedWithC = false

func rulesC() []rule { return nil }
