//go:build !linux

package peer

import "os/exec"

func endWithUs(*exec.Cmd) {}
