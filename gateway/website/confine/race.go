//go:build race

package confine

// The race detector reserves terabytes, so memory is not bounded with it.
const withRace = true
