//go:build long

package e2e

import "testing"

func TestNothingIsLostInManyKills(t *testing.T) { killWhileSending(t, 64_000, 20) }

func TestSinkThatHangsForLong(t *testing.T) { sinkThatHangs(t, 1000, 64_000) }
