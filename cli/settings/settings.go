// Package settings are the settings of serve: it reads them from the command line, the environment,
// a file and the defaults, in that order, and knows where each value comes from. It starts nothing
// and opens no store.
package settings

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
)

// origin is where a value comes from.
type origin string

const (
	fromFlag        origin = "flag"
	fromEnvironment origin = "environment"
	fromFile        origin = "file"
	fromDefault     origin = "default"
)

// Settings are the values of [Flags]. The command line comes first, then the environment,
// then the file, then the default; lists are not joined.
type Settings struct {
	*cli.Context
	file string // of --config; empty: none
	from map[string]origin
}

// Read fills the flags of a command that has [Flags] from the environment and the file.
// urfave/cli could read the environment, too, but does not tell whether it did.
func Read(c *cli.Context) (*Settings, error) {
	s := &Settings{Context: c, from: map[string]origin{}}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		value := os.Getenv(environmentName(name))
		switch {
		case name == "help":
		case c.IsSet(name):
			s.from[name] = fromFlag
		case value != "":
			if s.from[name] = fromEnvironment; c.Set(name, value) != nil {
				return nil, s.wrong(name, "%q: want %s", terminal.ShortenWord(value), typeName(f))
			}
		default:
			s.from[name] = fromDefault
		}
	}
	if s.file = c.Path(configFlag); s.file == "" {
		return s, nil
	}
	values, err := s.readFile()
	if err != nil {
		return nil, err
	}
	for name, all := range values {
		if s.from[name] != fromDefault {
			continue
		}
		s.from[name] = fromFile
		for _, value := range all {
			if err := c.Set(name, value); err != nil {
				return nil, s.wrong(name, "%q: %v", terminal.ShortenWord(value), err)
			}
		}
	}
	return s, nil
}

// label returns the name of a value where the person gave it.
func (s *Settings) label(name string) string {
	switch s.from[name] {
	case fromEnvironment:
		return environmentName(name)
	case fromFile:
		return s.file + ": " + name
	}
	return "--" + name
}

// wrong is the error of a value that is out of its bounds.
func (s *Settings) wrong(name, format string, a ...any) error {
	return terminal.WrongUse(s.Context, "%s %s", s.label(name), fmt.Sprintf(format, a...))
}

// Setting is one value, for people and as JSON. No setting is a secret: keys are named by their
// files.
type Setting struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  origin `json:"from"`
	// Where is the flag, the variable or the file; empty for a default.
	Where string `json:"where,omitempty"`
}

// List returns the settings in the order of [Flags].
func (s *Settings) List() (all []Setting) {
	for _, name := range fileNames() {
		all = append(all, s.setting(name))
	}
	return all
}

func (s *Settings) setting(name string) Setting {
	out := Setting{Name: name, Value: s.Value(name), From: s.from[name]}
	if _, list := out.Value.(cli.StringSlice); list {
		out.Value = append([]string{}, s.StringSlice(name)...)
	}
	switch out.From {
	case fromFlag:
		out.Where = "--" + name
	case fromEnvironment:
		out.Where = environmentName(name)
	case fromFile:
		out.Where = s.file
	}
	return out
}
