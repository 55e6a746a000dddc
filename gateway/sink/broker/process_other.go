//go:build !linux

package broker

import "syscall"

func dieWithUs() *syscall.SysProcAttr { return nil }
