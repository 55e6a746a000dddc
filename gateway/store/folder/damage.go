package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode"
)

// Damage is the error for a store that is refused. It says in one sentence what is wrong with which
// file or record, what is known to be whole, and what to do. It is [ErrCorrupt]. Nothing on disk
// was changed.
type Damage struct {
	Name  string `json:"name"` // of a file, as the data folder has it, or of a record
	What  string `json:"what"`
	Whole string `json:"whole,omitempty"`
	Do    string `json:"do"`
}

// What to do about a damage. The store cannot restore what is lost, so it promises nothing more.
const (
	doPutBack = "put it back from a copy of the data folder"
	DoRepair  = "run latchkey store repair, which changes nothing unless it can prove the result, or put " +
		"it back from a copy of the data folder"
	doBegin = "put it back from a copy of the data folder, or begin anew with latchkey store new, which " +
		"sets what is left aside"
	doMove  = "move it out of the folder"
	DoCopy  = "put the whole data folder back from a copy"
	doAllow = "let the user that runs latchkey read and write it"
)

func (d *Damage) Error() string {
	text := "store: " + d.Name + ": " + d.What
	if d.Whole != "" {
		text += "; " + d.Whole
	}
	return Printable(text + "; nothing was changed: " + d.Do)
}

// Is reports that every damage is ErrCorrupt.
func (d *Damage) Is(target error) bool { return target == ErrCorrupt }

// Printable quotes a text that is not printable: it may hold bytes of a damaged file.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// DescribeUnreadable returns the damage for a file that the system does not let us use.
func DescribeUnreadable(name string, err error) *Damage {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	d := &Damage{Name: name, What: fmt.Sprintf("cannot be read: %v", err), Do: doPutBack}
	if pe != nil && errors.Is(err, fs.ErrPermission) {
		d.What, d.Do = denied(pe.Path), doAllow
	}
	return d
}

// denied says why the system does not let us use a file: the mode and owner of the file, or of the
// folder that hides it, and our own user.
func denied(path string) string {
	at := path
	info, err := os.Stat(at)
	for err != nil && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	if err != nil {
		return "permission denied"
	}
	what := "it"
	if at != path {
		what = at
	}
	text := fmt.Sprintf("permission denied: %s has mode %04o", what, info.Mode().Perm())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		text += fmt.Sprintf(" and belongs to %s, and latchkey runs as %s", userName(int(st.Uid)),
			userName(os.Geteuid()))
	}
	return text
}

func userName(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return fmt.Sprint("user ", id)
}

// ParsePanic returns the first line that a Go program prints when it panics or gets a signal.
func ParsePanic(stderr string) string {
	for line := range strings.Lines(stderr) {
		for _, mark := range []string{"panic: ", "fatal error: ", "SIGBUS", "SIGSEGV",
			"unexpected fault address"} {
			if strings.HasPrefix(line, mark) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// DescribeCrash returns the damage of a store whose files look whole, but make the database engine crash.
func DescribeCrash(why string) *Damage {
	if len(why) > 120 {
		why = why[:120]
	}
	return &Damage{Name: "db/", What: fmt.Sprintf("the database engine breaks down at it (%s), "+
		"though every file matches its checksums", why),
		Whole: "which record it is cannot be told", Do: DoCopy}
}

// Unproven adds to a damage that no state of the database could be proven.
func Unproven(why error) error {
	var d *Damage
	if !errors.As(why, &d) {
		return why
	}
	out := *d
	out.What += "; and no older state of MANIFEST could be proven to lose nothing"
	out.Do = DoCopy
	return &out
}
