//go:build !linux

package load

import (
	"errors"
	"time"
)

var errLinux = errors.New("servers and load are kept to CPUs of their own on Linux only")

// CPUs is known on Linux only.
func CPUs() ([]int, error) { return nil, errLinux }

// Pin works on Linux only.
func Pin([]int) error { return errLinux }

func startOnCPUs(cpus []int, start func() error) error {
	if len(cpus) == 0 {
		return start()
	}
	return errLinux
}

func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }
