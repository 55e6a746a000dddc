package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway"
	"latchkey/gateway/clock"
)

const configFlag = "config"

// settingFlags are the settings of the gateway. Each may also stand in the environment, as
// LATCHKEY_MAX_SESSIONS does for --max-sessions, and under its own name in the file of --config.
func settingFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.PathFlag{Name: configFlag,
			Usage: "`file` in TOML with what is not on the command line and not in the environment"},
		&cli.StringFlag{Name: "listen", Value: defaultListen, Usage: "UDP `address` for nodes"},
		&cli.StringFlag{Name: "announce",
			Usage: "`host:port` that new devices are told to call; default: the address in --listen, or " +
				"this machine's"},
		&cli.StringFlag{Name: "clock", Value: string(clock.NTP),
			Usage: "what makes the time of day trustworthy: ntp (the kernel is synchronised) or rtc " +
				"(this machine has a battery-backed clock)"},
		&cli.IntFlag{Name: "max-sessions", Value: 10_000, Usage: "limit of live sessions"},
		&cli.StringFlag{Name: "console", Value: "127.0.0.1:8443",
			Usage: "TCP `address` of the website, or off"},
		&cli.StringSliceFlag{Name: "local-net",
			Usage: "`network` like 192.168.1.0/24, from which people open doors on the website without a " +
				"second step"},
		&cli.StringSliceFlag{Name: "console-name",
			Usage: "`name` or address by which the website is called, besides localhost and this " +
				"machine's name"},
		&cli.PathFlag{Name: "console-cert",
			Usage: "`file` with the website's certificate; default: one from the gateway's own CA"},
		&cli.PathFlag{Name: "console-key", Usage: "`file` with the key of that certificate"},
		&cli.StringFlag{Name: "acme",
			Usage: "get the website's certificate from an ACME server, for this `name`; its port 443 " +
				"must lead to --console"},
		&cli.StringFlag{Name: "acme-email", Usage: "`address` that the ACME server may write to"},
		&cli.StringFlag{Name: "acme-directory", Usage: "`URL` of the ACME server; default: Let's Encrypt's"},
		&cli.BoolFlag{Name: "acme-agree", Usage: "agree to the terms of the ACME server"},
		&cli.StringFlag{Name: "log", Value: "info", Usage: "debug, info, warn or error"},
	}
	for _, f := range flags { // as urfave/cli writes what it reads itself
		hint := " [$" + environmentName(f.Names()[0]) + "]"
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Usage += hint
		case *cli.PathFlag:
			f.Usage += hint
		case *cli.StringSliceFlag:
			f.Usage += hint
		case *cli.IntFlag:
			f.Usage += hint
		case *cli.BoolFlag:
			f.Usage += hint
		}
	}
	return flags
}

func environmentName(flag string) string {
	return "LATCHKEY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settingsFile is the file of --config. A test holds that it has each of [settingFlags].
type settingsFile struct {
	Listen        *string  `toml:"listen"`
	Announce      *string  `toml:"announce"`
	Clock         *string  `toml:"clock"`
	MaxSessions   *int     `toml:"max-sessions"`
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

// origin is where a value comes from.
type origin string

const (
	fromFlag        origin = "flag"
	fromEnvironment origin = "environment"
	fromFile        origin = "file"
	fromDefault     origin = "default"
)

// settings are the values of [settingFlags]. The command line comes first, then the environment,
// then the file, then the default; lists are not joined.
type settings struct {
	*cli.Context
	file string // of --config; empty: none
	from map[string]origin
}

// readSettings fills the flags of a command that has [settingFlags] from the environment and the file.
// urfave/cli could read the environment, too, but does not tell whether it did.
func readSettings(c *cli.Context) (*settings, error) {
	s := &settings{Context: c, from: map[string]origin{}}
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

func typeName(f cli.Flag) string {
	switch f.(type) {
	case *cli.IntFlag:
		return "a whole number"
	case *cli.BoolFlag:
		return "true or false"
	case *cli.StringSliceFlag:
		return `a list of texts, like ["192.168.1.0/24"]`
	}
	return "a text in quotes"
}

// maxConfig bounds the file of --config.
const maxConfig = 64 << 10

// readFile returns the values in the file of --config, by the names of their flags.
func (s *settings) readFile() (map[string][]string, error) {
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
		return nil, terminal.WrongUse(s.Context, "%s %s: want a file of up to %d KB", s.label(configFlag), s.file, maxConfig>>10)
	}
	var file settingsFile
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, s.explain(err)
	}
	values := map[string][]string{}
	v := reflect.ValueOf(file)
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
func (s *settings) explain(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		line, _ := unknown.Errors[0].Position()
		return terminal.WrongUse(s.Context, "%s:%d: there is no setting %q: want %s", s.file, line,
			terminal.ShortenWord(strings.Join(unknown.Errors[0].Key(), ".")), terminal.JoinOr(settingNames()))
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
	return terminal.WrongUse(s.Context, "%s:%d: %s", s.file, line, strings.TrimPrefix(wrong.Error(), "toml: "))
}

// settingNames are what may stand in the file.
func settingNames() (names []string) {
	for _, f := range settingFlags() {
		if name := f.Names()[0]; name != configFlag {
			names = append(names, name)
		}
	}
	return names
}

// label is how the person who gave a value knows it.
func (s *settings) label(name string) string {
	switch s.from[name] {
	case fromEnvironment:
		return environmentName(name)
	case fromFile:
		return s.file + ": " + name
	}
	return "--" + name
}

// wrong is the error of a value that is out of its bounds.
func (s *settings) wrong(name, format string, a ...any) error {
	return terminal.WrongUse(s.Context, "%s %s", s.label(name), fmt.Sprintf(format, a...))
}

func (s *settings) logLevel() (level slog.Level, err error) {
	if level.UnmarshalText([]byte(s.String("log"))) != nil {
		return level, s.wrong("log", "%q: want debug, info, warn or error", s.String("log"))
	}
	return level, nil
}

// settingOf are the settings that fields of [gateway.Config] are made of.
var settingOf = map[string]string{"Listen": "listen", "Announce": "announce", "Clock": "clock", "MaxSessions": "max-sessions",
	"Console.Listen": "console", "Console.Local": "local-net"}

// gatewayConfig is what a gateway with its data in dir is made of, but for the store and the log.
func (s *settings) gatewayConfig(dir string) (gateway.Config, error) {
	listen, most := s.String("listen"), s.Int("max-sessions")
	cfg := gateway.Config{Listen: listen, Announce: announcedAddrs(listen), Clock: clock.Source(s.String("clock")),
		AdminSocket: filepath.Join(dir, socketName), MaxSessions: most, Version: version()}
	if a := s.String("announce"); a != "" {
		cfg.Announce = []string{a}
	}
	var err error
	if cfg.Console, err = consoleConfig(s, dir); err != nil {
		return cfg, err
	}
	err = cfg.Validate()
	if listen == "" { // which would be the default there
		err = &gateway.ConfigError{Field: "Listen", Value: `""`, Want: "host:port or :port"}
	}
	if most == 0 {
		err = &gateway.ConfigError{Field: "MaxSessions", Value: "0", Want: "1 or more"}
	}
	var wrong *gateway.ConfigError
	if errors.As(err, &wrong) && settingOf[wrong.Field] != "" {
		return cfg, s.wrong(settingOf[wrong.Field], "%s: want %s", wrong.Value, wrong.Want)
	}
	return cfg, err
}
