package gateway

import (
	"fmt"
	"net"
	"strconv"

	"latchkey/gateway/clock"
	"latchkey/keys/provision"
)

// Bounds of a [Config].
const (
	mostSessions = 1_000_000
	longestPath  = 107 // of a unix socket, see unix(7)
)

// ConfigError names the field of a [Config] that is out of its bounds, and the bound.
type ConfigError struct {
	Field string // its name in Go: MaxSessions, Console.Listen
	Value string // what it holds, text in quotes
	Want  string // what it may hold
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("gateway: config: %s %s: want %s", e.Field, e.Value, e.Want)
}

// Validate returns a [ConfigError] for the first field that is out of its bounds. The zero value of
// a field is its default. [New] calls it, and so can whoever reads a configuration before there is a
// store: Store, Log and Timeline are not looked at.
func (c Config) Validate() error {
	if _, err := net.ResolveUDPAddr("udp", c.Listen); c.Listen != "" && err != nil {
		return wrongText("Listen", c.Listen, "host:port or :port, with a port up to 65535")
	}
	for _, addr := range c.Announce {
		if provision.CheckGateway(addr) != nil {
			return wrongText("Announce", addr, "host:port as nodes reach this machine, like 192.0.2.1:5684")
		}
	}
	if c.Clock != "" && c.Clock != clock.NTP && c.Clock != clock.RTC {
		return wrongText("Clock", string(c.Clock), "ntp or rtc")
	}
	if c.MaxSessions < 0 || c.MaxSessions > mostSessions {
		return &ConfigError{"MaxSessions", strconv.Itoa(c.MaxSessions), fmt.Sprintf("1…%d", mostSessions)}
	}
	if len(c.AdminSocket) > longestPath {
		return wrongText("AdminSocket", c.AdminSocket, fmt.Sprintf("a path of up to %d bytes", longestPath))
	}
	if c.RequestRate < 0 {
		return &ConfigError{"RequestRate", strconv.Itoa(c.RequestRate), "0, which is the default, or more"}
	}
	if c.HandshakeRate < 0 {
		return &ConfigError{"HandshakeRate", strconv.Itoa(c.HandshakeRate), "0, which is the default, or more"}
	}
	if c.VerifyEvery < 0 {
		return &ConfigError{"VerifyEvery", c.VerifyEvery.String(), "0, which is the default, or more"}
	}
	if c.Console != nil {
		return c.Console.validate()
	}
	return nil
}

func (c ConsoleConfig) validate() error {
	if _, err := net.ResolveTCPAddr("tcp", c.Listen); c.Listen == "" || err != nil {
		return wrongText("Console.Listen", c.Listen, "host:port or :port")
	}
	for _, network := range c.Local {
		if !network.IsValid() || network != network.Masked() {
			return wrongText("Console.Local", network.String(),
				"a network like 192.168.1.0/24 or fd12:3456::/64")
		}
	}
	if c.Certificate.Dir == "" {
		return wrongText("Console.Certificate.Dir", "", "a folder")
	}
	return nil
}

func wrongText(field, value, want string) error {
	const most = 64 // of a mistake, so that it can be read
	if len(value) > most {
		value = value[:most] + "…"
	}
	return &ConfigError{field, strconv.Quote(value), want}
}
