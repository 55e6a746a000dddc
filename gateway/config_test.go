package gateway_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"latchkey/gateway"
	"latchkey/gateway/certificate"
	"latchkey/gateway/clock"
)

func TestConfigNamesTheFieldAndTheBound(t *testing.T) {
	console := func(listen string, local ...netip.Prefix) *gateway.ConsoleConfig {
		return &gateway.ConsoleConfig{Listen: listen, Local: local,
			Certificate: certificate.Config{Dir: "data"}}
	}
	for name, tt := range map[string]struct {
		cfg   gateway.Config
		field string
		want  string
	}{
		"a port beyond 65535": {gateway.Config{Listen: ":99999"}, "Listen", `":99999": want host:port`},
		"an announced address with port 0": {
			gateway.Config{Announce: []string{"192.0.2.1:5684", "192.0.2.1:0"}}, "Announce",
			`"192.0.2.1:0": want host:port`},
		"an unknown kind of clock": {gateway.Config{Clock: "gps"}, "Clock", `"gps": want ntp or rtc`},
		"too many sessions": {gateway.Config{MaxSessions: 1_000_001}, "MaxSessions",
			"1000001: want 1…1000000"},
		"a negative limit of sessions": {gateway.Config{MaxSessions: -1}, "MaxSessions",
			"-1: want 1…1000000"},
		"a socket path that is too long to bind": {gateway.Config{AdminSocket: strings.Repeat("d", 108)},
			"AdminSocket",
			"want a path of up to 107 bytes"},
		"a negative request rate":   {gateway.Config{RequestRate: -1}, "RequestRate", "-1: want 0"},
		"a negative handshake rate": {gateway.Config{HandshakeRate: -1}, "HandshakeRate", "-1: want 0"},
		"a negative interval": {gateway.Config{VerifyEvery: -time.Second}, "VerifyEvery",
			"-1s: want 0"},
		"a website without an address": {gateway.Config{Console: console("")}, "Console.Listen",
			`"": want host:port`},
		"an address instead of a network": {gateway.Config{Console: console(":0",
			netip.MustParsePrefix("192.168.1.7/24"))}, "Console.Local", "want a network like"},
		"an empty network": {gateway.Config{Console: console(":0", netip.Prefix{})}, "Console.Local",
			"want a network like"},
		"no folder for certificates": {gateway.Config{Console: &gateway.ConsoleConfig{Listen: ":0"}},
			"Console.Certificate.Dir", "want a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			var wrong *gateway.ConfigError
			if err := tt.cfg.Validate(); !errors.As(err, &wrong) || wrong.Field != tt.field ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s %s", err, tt.field, tt.want)
			}
		})
	}
	whole := gateway.Config{Listen: "127.0.0.1:0", Announce: []string{"door.example:5684"}, Clock: clock.RTC,
		MaxSessions: 1_000_000,
		AdminSocket: strings.Repeat("d", 107), Console: console(":8443",
			netip.MustParsePrefix("fd12:3456::/64"))}
	for name, cfg := range map[string]gateway.Config{"only defaults": {}, "all at their bounds": whole} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
	}
}
