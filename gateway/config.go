package gateway

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"latchkey/gateway/clock"
	"latchkey/gateway/restart"
	"latchkey/gateway/rollback"
	"latchkey/gateway/store"
	"latchkey/keys/provision"
)

// Config says how a gateway runs. Store is required, and the caller closes it.
type Config struct {
	Store  *store.Store
	Listen string // UDP "host:port" for nodes; default ":5684"
	// AdminSocket is the path of the admin API's unix socket; empty: none.
	AdminSocket string
	// Console is the website; nil: none.
	Console *ConsoleConfig
	// Announce lists each "host:port" that may go into the bundles of new devices. If there is not
	// exactly one, the request that adds a device must name it.
	Announce []string
	// Clock says what makes the time of day trustworthy; default clock.NTP.
	Clock clock.Source
	// Runtime is where sessions are saved at a clean stop, for the next start; nil: nowhere. The
	// caller closes it.
	Runtime *restart.Folder
	// HeadLog is where head.log is, with which a rollback of the store is noticed; zero: nowhere.
	HeadLog     rollback.Place
	MaxSessions int // default 10,000
	// RequestRate bounds the requests per second of one session, HandshakeRate the handshakes per
	// second of all. The defaults are in coapres and transport and are enough for doors; only
	// benchmarks need more.
	RequestRate, HandshakeRate int
	// VerifyEvery is the time between verifications of the whole store; default one day. The first
	// is a minute after the start.
	VerifyEvery time.Duration
	Version     string
	Log         *slog.Logger
	// Timeline, if set, is called with every decided attempt when its outcome is known.
	Timeline func(Timeline)
}

// Bounds of a [Config].
const (
	mostSessions = 1_000_000
	longestPath  = 107 // of a unix socket, see unix(7)
)

// ConfigError names the field of a [Config] that is out of its bounds, and the bound.
type ConfigError struct {
	Field string // its name in Go: MaxSessions, Console.Listen
	Value string // its value; text is in quotes
	Want  string // the values that it may have
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("gateway: config: %s %s: want %s", e.Field, e.Value, e.Want)
}

// Validate returns a [ConfigError] for the first field that is out of its bounds. A zero field has
// its default. [New] calls it. It does not check Store, Log and Timeline, so it can also be called
// before there is a store.
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

func (c *Config) setDefaults() {
	if c.Listen == "" {
		c.Listen = ":5684"
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 10_000
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}
