package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/gateway/store"
)

// trialCommand opens a store on trial for the process that started it.
func trialCommand() *cli.Command {
	return &cli.Command{Name: connection.TrialName, Hidden: true, Action: func(c *cli.Context) error {
		if code := store.TrialMain(c.App.Reader, c.App.Writer); code != 0 {
			return cli.Exit("", code)
		}
		return nil
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
	aside, err := store.SetAside(x.Context.Context, connection.StoreOptions(dir))
	if err != nil {
		return err
	}
	s, err := store.Open(x.Context.Context, connection.StoreOptions(dir))
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
	done, err := store.Repair(x.Context.Context, connection.StoreOptions(dir))
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
	printLine(x.App.Writer, fmt.Sprintf("the store in %s is whole: events %d to %d verified", dir, done.First,
		done.Seq))
	if done.Aside != "" {
		printLine(x.App.Writer, "what was replaced is in "+done.Aside)
	}
	return nil
}
