// Package cli is the command line: it turns words and flags into requests to the admin API and
// answers into text. It decides nothing and keeps nothing. Whether a gateway runs or not, the
// requests are the same.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"latchkey/cli/backup"
	"latchkey/cli/connection"
	"latchkey/cli/demo"
	"latchkey/cli/serving"
	"latchkey/cli/simulate"
	"latchkey/cli/terminal"
	"latchkey/gateway/website/child"
)

// Main runs one command line, without the program's name in front, and returns the exit status: 0
// done, 1 failed, 2 wrong use, and 3 when it needs a running gateway and finds none.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == child.Command {
		return child.Main()
	}
	ctx, stop := signal.NotifyContext(context.Background(), interrupts()...)
	defer stop()
	if err := connection.ForbidDumps(); err != nil {
		return exit(stderr, err)
	}
	return exit(stderr, run(ctx, args, stdin, stdout, stderr))
}

// interrupts are the signals that end a command cleanly. A terminal that closes sends SIGHUP; under
// nohup that signal stays ignored.
func interrupts() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

const dataFlag = "data"

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	app := &cli.App{
		Name:      "latchkey",
		Usage:     "a gateway for doors and lamps: decides who may open what, and keeps a record",
		UsageText: "latchkey [--data DIR] [--json] COMMAND …",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: dataFlag, Usage: "data folder", EnvVars: []string{"LATCHKEY_DATA"},
				Value: connection.DefaultData(), TakesFile: true},
			&cli.BoolFlag{Name: terminal.JSONFlag, Usage: "print the answer of the admin API as JSON"},
		},
		Commands:       commands(),
		HideVersion:    true, // there is a command
		Reader:         stdin,
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // Main prints errors itself
		OnUsageError:   wrongUse,
	}
	quiet(app.Commands)
	arranged, err := terminal.Arrange(app.Flags, app.Commands, args)
	if err != nil {
		return err
	}
	return app.RunContext(ctx, append([]string{app.Name}, arranged...))
}

func commands() []*cli.Command {
	return []*cli.Command{
		serving.Command(serving.Setting{Version: version(), Data: dataFlag, Options: connection.StoreOptions}),
		group("config", "the settings of serve", configCommands()...),
		demo.Command(demo.Setting{Version: version(), Socket: connection.SocketName,
			Options: connection.StoreOptions}),
		group("target", "doors and lamps", targetCommands()...),
		group("device", "readers, switches, locks, lamps and sensors, and their keys", deviceCommands()...),
		group("person", "who may hold cards", personCommands()...),
		group("card", "cards of persons", cardCommands()...),
		group("group", "groups of persons or of targets", groupCommands()...),
		group("schedule", "weekly windows, with exceptions", scheduleCommands()...),
		group("grant", "who may do what, where and when", grantCommands()...),
		group("integration", "other systems that show and ask, such as Home Assistant",
			integrationCommands()...),
		group("sink", "servers that events are sent to", sinkCommands()...),
		group("account", "who may sign in at the website", accountCommands()...),
		group("console", "first account and certificate of the website", consoleCommands()...),
		statusCommand().command(),
		group("alarm", "open alarms at doors: list and acknowledge them", alarmCommands()...),
		unlockCommand().command(),
		group("lamp", "switch a lamp", lampCommands()...),
		group("lockdown", "shut every door for everybody, or end that", lockdownCommands()...),
		group("time", "say that the clock is right", timeCommands()...),
		group("site", "settings of the whole site", siteCommands()...),
		explainCommand().command(),
		doctorCommand().command(),
		eventsCommand().command(),
		group("audit", "check the chain of events", auditCommands()...),
		group("retention", "how long events are kept", retentionCommands()...),
		backup.Command(func(c *cli.Context) (*connection.Connection, error) {
			return (&call{Context: c}).connect()
		}),
		backup.RestoreCommand(dataFlag, connection.StoreOptions),
		group("store", "repair or replace a damaged store, while no gateway runs", storeCommands()...),
		trialCommand(),
		simulate.Command(),
		versionCommand().command(),
	}
}

// quiet keeps urfave/cli from printing a page where one line is enough.
func quiet(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = wrongUse
		c.HideHelpCommand = true
		quiet(c.Subcommands)
	}
}

func wrongUse(c *cli.Context, err error, _ bool) error {
	return terminal.WrongUse(c, "%v", err)
}
