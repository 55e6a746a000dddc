//go:build race

package website_test

const raceEnabled = true
