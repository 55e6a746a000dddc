package settings

import (
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/clock"
)

const configFlag = "config"

// Flags are the settings of the gateway. Each may also stand in the environment, as
// LATCHKEY_MAX_SESSIONS does for --max-sessions, and under its own name in the file of --config.
func Flags() []cli.Flag {
	flags := []cli.Flag{
		&cli.PathFlag{Name: configFlag,
			Usage: "TOML `file` with settings; the command line and the environment go first"},
		&cli.StringFlag{Name: "listen", Value: DefaultListen, Usage: "UDP `address` for nodes"},
		&cli.StringFlag{Name: "announce",
			Usage: "`host:port` where new devices find the gateway, or its name; default: the address in " +
				"--listen, or this machine's"},
		&cli.StringFlag{Name: "clock", Value: string(clock.NTP),
			Usage: "what makes the time of day trustworthy: ntp (the kernel is synchronised) or rtc " +
				"(this machine has a battery-backed clock)"},
		&cli.IntFlag{Name: "max-sessions", Value: 10_000, Usage: "limit of live sessions"},
		&cli.PathFlag{Name: "head-log",
			Usage: "`file` outside the data folder that remembers the newest event, so that an older copy of " +
				"the data folder is noticed, or off; default: head.log in a folder beside the data folder"},
		&cli.StringFlag{Name: "console", Value: "127.0.0.1:8443",
			Usage: "TCP `address` of the website, or off"},
		&cli.StringSliceFlag{Name: "local-net",
			Usage: "`network` like 192.168.1.0/24, from which people open doors on the website without a " +
				"second step"},
		&cli.StringSliceFlag{Name: "console-name",
			Usage: "`name` or address of the website, besides localhost and this " +
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
