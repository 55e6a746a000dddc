package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"latchkey/cli/terminal"
)

// tomlFile is the file of --config. A test holds that it has each of [Flags].
type tomlFile struct {
	Listen        *string  `toml:"listen"`
	Announce      *string  `toml:"announce"`
	Clock         *string  `toml:"clock"`
	MaxSessions   *int     `toml:"max-sessions"`
	HeadLog       *string  `toml:"head-log"`
	Console       *string  `toml:"console"`
	LocalNet      []string `toml:"local-net"`
	ConsoleName   []string `toml:"console-name"`
	ConsoleCert   *string  `toml:"console-cert"`
	ConsoleKey    *string  `toml:"console-key"`
	ACME          *string  `toml:"acme"`
	ACMEEmail     *string  `toml:"acme-email"`
	ACMEDirectory *string  `toml:"acme-directory"`
	ACMEAgree     *bool    `toml:"acme-agree"`
	Log           *string  `toml:"log"`
}

// maxConfig bounds the file of --config.
const maxConfig = 64 << 10

// readFile returns the values in the file of --config, by the names of their flags.
func (s *Settings) readFile() (map[string][]string, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return nil, terminal.WrongUse(s.Context, "%s: %v", s.label(configFlag), err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, terminal.WrongUse(s.Context, "%s: %v", s.label(configFlag), err)
	}
	if len(text) > maxConfig {
		return nil, terminal.WrongUse(s.Context, "%s %s: want a file of up to %d KB", s.label(configFlag),
			s.file, maxConfig>>10)
	}
	var given tomlFile
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&given); err != nil {
		return nil, s.explain(err)
	}
	values := map[string][]string{}
	v := reflect.ValueOf(given)
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Tag.Get("toml"), v.Field(i)
		switch {
		case field.IsNil():
		case field.Kind() == reflect.Slice:
			values[name] = field.Interface().([]string)
		default:
			values[name] = []string{fmt.Sprint(field.Elem().Interface())}
		}
	}
	return values, nil
}

// explain says which line of the file is wrong, and how.
func (s *Settings) explain(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		line, _ := unknown.Errors[0].Position()
		return terminal.WrongUse(s.Context, "%s:%d: there is no setting %q: want %s", s.file, line,
			terminal.ShortenWord(strings.Join(unknown.Errors[0].Key(), ".")), terminal.JoinOr(fileNames()))
	}
	var wrong *toml.DecodeError
	if !errors.As(err, &wrong) {
		return terminal.WrongUse(s.Context, "%s: %v", s.file, err)
	}
	line, _ := wrong.Position()
	name := strings.Join(wrong.Key(), ".")
	for _, f := range s.Command.Flags {
		if f.Names()[0] == name {
			return terminal.WrongUse(s.Context, "%s:%d: %s: want %s", s.file, line, name, typeName(f))
		}
	}
	return terminal.WrongUse(s.Context, "%s:%d: %s", s.file, line, strings.TrimPrefix(wrong.Error(),
		"toml: "))
}

// fileNames are what may stand in the file.
func fileNames() (names []string) {
	for _, f := range Flags() {
		if name := f.Names()[0]; name != configFlag {
			names = append(names, name)
		}
	}
	return names
}
