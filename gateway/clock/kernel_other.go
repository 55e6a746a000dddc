//go:build !linux

package clock

import "errors"

func kernelSynchronised() (bool, error) { return false, errors.ErrUnsupported }
