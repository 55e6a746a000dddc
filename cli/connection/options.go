package connection

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"latchkey/cli/terminal"
	"latchkey/gateway/store"
)

// TrialName is the hidden command that opens a store on trial for the process that started it.
const TrialName = "store-trial"

// trialChild is this program as that command. It ends with this process.
func trialChild(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", TrialName)
	if path, err := os.Executable(); err == nil {
		cmd.Path = path
	}
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "GOTRACEBACK=single")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// StoreOptions are the options with which every command opens the store: a child process opens it
// on trial first, and the first error of the disk ends this process.
func StoreOptions(dir string) store.Options {
	return store.Options{Dir: dir, Child: trialChild, Fatal: func(err error) {
		terminal.PrintLine(os.Stderr, "latchkey: "+err.Error())
		os.Exit(1)
	}}
}

// DefaultData returns the data folder if no flag names one.
func DefaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/latchkey"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "latchkey")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // refused when it is needed
	}
	return filepath.Join(home, ".local", "share", "latchkey")
}
