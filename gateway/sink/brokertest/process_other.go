//go:build !linux

package brokertest

import "syscall"

func dieWithUs() *syscall.SysProcAttr { return nil }
