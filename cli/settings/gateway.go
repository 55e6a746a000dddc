package settings

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"

	"latchkey/cli/terminal"
	"latchkey/gateway"
	"latchkey/gateway/certificate"
	"latchkey/gateway/clock"
	"latchkey/keys/provision"
)

// LogLevel is from which level on is logged.
func (s *Settings) LogLevel() (level slog.Level, err error) {
	if level.UnmarshalText([]byte(s.String("log"))) != nil {
		return level, s.wrong("log", "%q: want debug, info, warn or error", s.String("log"))
	}
	return level, nil
}

// settingOf maps fields of [gateway.Config] to the settings that they come from.
var settingOf = map[string]string{"Listen": "listen", "Announce": "announce", "Clock": "clock",
	"MaxSessions":    "max-sessions",
	"Console.Listen": "console", "Console.Local": "local-net"}

// Gateway returns the configuration of a gateway with its data in dir, without the store, the log,
// the admin socket and the version.
func (s *Settings) Gateway(dir string) (gateway.Config, error) {
	listen, most := s.String("listen"), s.Int("max-sessions")
	cfg := gateway.Config{Listen: listen, Announce: AnnouncedAddrs(listen),
		Clock:       clock.Source(s.String("clock")),
		MaxSessions: most}
	if a := s.String("announce"); a != "" {
		cfg.Announce = []string{provision.AddPort(a)}
	}
	var err error
	if cfg.HeadLog, err = s.headLog(dir); err != nil {
		return cfg, err
	}
	if cfg.Console, err = s.console(dir); err != nil {
		return cfg, err
	}
	err = cfg.Validate()
	if listen == "" { // an empty address would mean the default there
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

// console is the website; nil: there is to be none.
func (s *Settings) console(dir string) (*gateway.ConsoleConfig, error) {
	addr := s.String("console")
	if addr == "off" {
		for _, name := range []string{"local-net", "console-name", "console-cert", "console-key", "acme"} {
			if s.IsSet(name) {
				return nil, s.wrong(name, "is for the website, but %s is off: remove one of the two",
					s.label("console"))
			}
		}
		return nil, nil
	}
	if _, err := net.ResolveTCPAddr("tcp", addr); addr == "" || err != nil {
		return nil, s.wrong("console", "%q: want host:port or :port, or off", addr)
	}
	cfg := &gateway.ConsoleConfig{Listen: addr, Dispensable: !s.IsSet("console"),
		Certificate: certificate.Config{Dir: dir,
			Names: s.StringSlice("console-name"), CertFile: s.Path("console-cert"),
			KeyFile: s.Path("console-key")}}
	for _, text := range s.StringSlice("local-net") {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return nil, s.wrong("local-net", "%q: want a network like 192.168.1.0/24 or fd12:3456::/64",
				terminal.ShortenWord(text))
		}
		cfg.Local = append(cfg.Local, p)
	}
	if name := s.String("acme"); name != "" {
		if !s.Bool("acme-agree") {
			return nil, s.wrong("acme", "%s: read the terms of the ACME server first, then add --acme-agree",
				terminal.ShortenWord(name))
		}
		cfg.Certificate.ACME = &certificate.ACME{Name: name, Email: s.String("acme-email"),
			Directory: s.String("acme-directory"), Agreed: true}
	}
	return cfg, nil
}
