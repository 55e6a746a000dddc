package clock

import "golang.org/x/sys/unix"

const (
	staUnsync = 0x40 // STA_UNSYNC of adjtimex(2)
	timeError = 5    // TIME_ERROR
)

// kernelSynchronised asks the kernel whether an NTP client sets its clock.
func kernelSynchronised() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return state != timeError && t.Status&staUnsync == 0, err
}
