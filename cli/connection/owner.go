package connection

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"latchkey/keys/provision"
)

// CheckOwner refuses a data folder that belongs to another user, who could not read the files that
// we write there.
func (p Place) CheckOwner() error {
	info, err := os.Stat(p.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("data folder: %s is not a folder: name one with --data", p.Dir)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	owner := "#" + strconv.Itoa(int(st.Uid)) // what sudo takes for a user without a name
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("%s belongs to %s: sudo -u %s %s", p.Dir, owner, provision.QuoteShell(owner),
		p.Again(p.Dir))
}

// CurrentUser returns the name of who makes the changes, for the events.
func CurrentUser() string {
	name := strconv.Itoa(os.Geteuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		return fmt.Sprintf("%s for %s", name, by)
	}
	return name
}
