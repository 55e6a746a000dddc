//go:build !linux

package connection

func ForbidDumps() error { return nil }
