//go:build !race

package website_test

const raceEnabled = false
