//go:build !linux

package transport

func readUnsent(uintptr) int { return 0 }
