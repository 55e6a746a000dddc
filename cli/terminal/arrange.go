package terminal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Arrange puts a command line into the order that urfave/cli reads: global flags, command, its
// flags, "--", its arguments. People write flags before and after arguments, and the global ones
// anywhere. Every error is a usageError.
func Arrange(global []cli.Flag, commands []*cli.Command, args []string) ([]string, error) {
	a := arrangement{global: global, below: commands, name: "latchkey"}
	if len(args) > 0 && args[0] == "help" { // help target add is target add --help
		args, a.help = args[1:], true
		a.flags = []string{"--help"}
	}
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case word == "--":
			a.rest = append(a.rest, args[i+1:]...)
			i = len(args)
		case len(word) > 1 && word[0] == '-':
			used, err := a.flag(word, args[i+1:])
			if err != nil {
				return nil, err
			}
			i += used
		case len(a.below) > 0:
			if err := a.descend(word); err != nil {
				return nil, err
			}
		default:
			a.rest = append(a.rest, word)
		}
	}
	if len(a.below) > 0 && !a.help {
		return nil, a.incomplete()
	}
	out := slices.Concat(a.before, a.path, a.flags)
	if len(a.rest) > 0 && !a.help {
		out = append(append(out, "--"), a.rest...)
	}
	return out, nil
}

type arrangement struct {
	global []cli.Flag
	below  []*cli.Command // what the next word may be; none at a command's arguments
	own    []cli.Flag     // of the command so far
	name   string         // of the command so far
	help   bool           // asked for: everything else may be missing
	seen   []cli.Flag

	before, path, flags, rest []string
}

func (a *arrangement) wrong(format string, args ...any) error {
	return UsageError{a.name + ": " + fmt.Sprintf(format, args...)}
}

func (a *arrangement) descend(word string) error {
	for _, c := range a.below {
		if c.HasName(word) {
			a.path = append(a.path, c.Name)
			a.name += " " + c.Name
			a.below, a.own = c.Subcommands, c.Flags
			return nil
		}
	}
	if a.path == nil {
		return a.wrong("there is no command %q: latchkey help lists them", ShortenWord(word))
	}
	return a.wrong("there is no %q: want %s", ShortenWord(word), a.choice())
}

func (a *arrangement) incomplete() error {
	if a.path == nil {
		return a.wrong("want a command: latchkey help lists them")
	}
	return a.wrong("want %s", a.choice())
}

// choice lists what may come next.
func (a *arrangement) choice() string {
	var names []string
	for _, c := range a.below {
		names = append(names, c.Name)
	}
	return JoinOr(names)
}

// flag takes one flag and returns how many of the words after it were its value.
func (a *arrangement) flag(word string, after []string) (used int, err error) {
	name, value, has := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
	if name == "help" || name == "h" {
		if !a.help {
			a.help, a.flags = true, append(a.flags, "--help")
		}
		return 0, nil
	}
	to, f := &a.flags, lookUp(a.own, name)
	if f == nil {
		to, f = &a.before, lookUp(a.global, name)
	}
	if f == nil {
		return 0, a.wrong("there is no flag --%s: want %s", ShortenWord(name), a.flagNames())
	}
	name = f.Names()[0]
	if slices.Contains(a.seen, f) && !isSlice(f) {
		return 0, a.wrong("--%s is given twice: give it once", name)
	}
	a.seen = append(a.seen, f)
	if !takesValue(f) {
		if !has {
			*to = append(*to, "--"+name)
			return 0, nil
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return 0, a.wrong("--%s takes no value", name)
		}
		*to = append(*to, fmt.Sprintf("--%s=%v", name, on))
		return 0, nil
	}
	if !has {
		if len(after) == 0 || strings.HasPrefix(after[0], "--") {
			return 0, a.wrong("--%s needs a value", name)
		}
		value, used = after[0], 1
	}
	*to = append(*to, "--"+name+"="+value)
	return used, nil
}

func (a *arrangement) flagNames() string {
	var names []string
	for _, f := range slices.Concat(a.own, a.global) {
		if n := f.Names()[0]; !slices.Contains(names, "--"+n) && n != "help" {
			names = append(names, "--"+n)
		}
	}
	return JoinOr(names)
}

func lookUp(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

func isSlice(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationSliceFlag)
	return ok && d.IsSliceFlag()
}
