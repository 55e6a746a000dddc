//go:build !cgo

package confine

var linkedC, missingC, deniedC []string

func rulesC() []rule { return nil }
