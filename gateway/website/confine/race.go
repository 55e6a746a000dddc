//go:build race

package confine

// The race detector reserves terabytes, so there is no bound of memory with it.
const withRace = true
