//go:build !linux

package transport

func unsent(uintptr) int { return 0 }
