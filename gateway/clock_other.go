//go:build !linux

package gateway

import "errors"

func kernelSynchronised() (bool, error) { return false, errors.ErrUnsupported }
