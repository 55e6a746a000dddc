package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/store"
)

// trialName is the hidden command that opens a store on trial for the process that started it.
const trialName = "store-trial"

func trialCommand() *cli.Command {
	return &cli.Command{Name: trialName, Hidden: true, Action: func(c *cli.Context) error {
		if code := store.TrialMain(c.App.Reader, c.App.Writer); code != 0 {
			return cli.Exit("", code)
		}
		return nil
	}}
}

// trialChild is this program as that command. It ends with this process.
func trialChild(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", trialName)
	if path, err := os.Executable(); err == nil {
		cmd.Path = path
	}
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "GOTRACEBACK=single")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// storeOptions are the options with which every command opens the store: a child process opens it
// on trial first, and the first error of the disk ends this process.
func storeOptions(dir string) store.Options {
	return store.Options{Dir: dir, Child: trialChild, Fatal: func(err error) {
		terminal.PrintLine(os.Stderr, "latchkey: "+err.Error())
		os.Exit(1)
	}}
}

func storeCommands() []spec {
	return []spec{
		{name: "new", run: beginAnew,
			usage: "make a new, empty store when the old one cannot be opened; " +
				"the old one is set aside, not deleted"},
		{name: "repair", run: repair,
			usage: "repair a refused store if this provably loses nothing; " +
				"else change nothing"},
	}
}

// folder is the data folder of a command that works on it directly. No gateway may run on it: the
// store's lock says whether one does.
func (x *call) folder() (string, error) {
	p := connection.Place{Dir: x.String(dataFlag), Again: x.again}
	if p.Dir == "" {
		return "", x.wrong("there is no home folder to keep data in: " +
			"name one with --data DIR or LATCHKEY_DATA")
	}
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return "", err
	}
	p.Dir = dir
	return dir, p.CheckOwner()
}

func beginAnew(x *call) error {
	dir, err := x.folder()
	if err != nil {
		return err
	}
	aside, err := store.SetAside(x.Context.Context, storeOptions(dir))
	if err != nil {
		return err
	}
	s, err := store.Open(x.Context.Context, storeOptions(dir))
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if x.json() {
		return json.NewEncoder(x.App.Writer).Encode(map[string]string{"dir": dir, "aside": aside})
	}
	printLine(x.App.Writer, "a new store is in "+dir+": no card opens anything yet")
	if aside != "" {
		printLine(x.App.Writer, "the rest of the old one is in "+aside)
	}
	return nil
}

func repair(x *call) error {
	dir, err := x.folder()
	if err != nil {
		return err
	}
	done, err := store.Repair(x.Context.Context, storeOptions(dir))
	if errors.Is(err, store.ErrWhole) {
		if x.json() {
			return json.NewEncoder(x.App.Writer).Encode(store.Repaired{Done: []string{}})
		}
		printLine(x.App.Writer, "the store in "+dir+" is whole: nothing was changed")
		return nil
	}
	if err != nil {
		return err
	}
	if x.json() {
		return json.NewEncoder(x.App.Writer).Encode(done)
	}
	for _, what := range done.Done {
		printLine(x.App.Writer, what)
	}
	printLine(x.App.Writer, fmt.Sprintf("the store in %s is whole: events 1 to %d verified", dir, done.Seq))
	if done.Aside != "" {
		printLine(x.App.Writer, "what was replaced is in "+done.Aside)
	}
	return nil
}
