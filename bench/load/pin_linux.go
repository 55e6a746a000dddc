package load

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const defaultSlack = 50 * time.Microsecond // of Linux, for a thread without real-time priority

// CPUs are the processors that this process may use, as the kernel numbers them.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("which CPUs there are: %w", err)
	}
	var all []int
	for i := 0; len(all) < set.Count(); i++ {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}
	return all, nil
}

// Pin executes this program again on the given CPUs only, with the same arguments and environment,
// so that all its threads and the Go runtime stay on them. It returns only if that fails.
func Pin(cpus []int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the new program inherits the CPUs of this thread
	defer runtime.UnlockOSThread()
	if err := setAffinity(cpus); err != nil {
		return err
	}
	if err := setTimerSlack(time.Nanosecond); err != nil {
		return err
	}
	return fmt.Errorf("start %s again: %w", self, syscall.Exec(self, os.Args, os.Environ()))
}

// setTimerSlack sets how late the kernel may wake this thread, and those that it starts, from sleep.
func setTimerSlack(most time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(most), 0, 0, 0)
}

// startOnCPUs runs start on a thread that may use only the given CPUs. A process that start starts
// inherits them. It has the kernel's default timer slack again, as every deployed server has: the
// monitor of Go's scheduler sleeps 20 µs at a time, and what each time costs would be paid twice as often.
func startOnCPUs(cpus []int, start func() error) error {
	if len(cpus) == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := setAffinity(cpus); err != nil {
		return err
	}
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil {
		err = setTimerSlack(defaultSlack)
	}
	if err == nil {
		err = start()
	}
	return errors.Join(err, setTimerSlack(time.Duration(slack)), unix.SchedSetaffinity(0, &before))
}

func setAffinity(cpus []int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("keep to CPUs %v: %w", cpus, err)
	}
	return nil
}

// sleepUntil sleeps in the kernel. A timer of the Go runtime can wake an idle process up to a
// millisecond late, because epoll counts in milliseconds.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // a signal ends it early
	}
}
