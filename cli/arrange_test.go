package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
)

var testGlobals = []cli.Flag{&cli.StringFlag{Name: "data"}, &cli.BoolFlag{Name: "json"}}

func TestArrange(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string // words, separated by spaces
		wrong          string
	}{
		{name: "flags after the argument", in: "target add front-door --kind door",
			want: "target add --kind=door -- front-door"},
		{name: "flags before the argument", in: "target add --kind door front-door",
			want: "target add --kind=door -- front-door"},
		{name: "a value joined by an equals sign", in: "target add x --kind=door",
			want: "target add --kind=door -- x"},
		{name: "one dash is enough", in: "target add x -kind door", want: "target add --kind=door -- x"},
		{name: "global flags from anywhere are moved to the front", in: "target --json list --data d",
			want: "--json --data=d target list"},
		{name: "a dash is a value", in: "card add --uid - --person ann",
			want: "card add --uid=- --person=ann"},
		{name: "a switch takes no value", in: "grant add --deny --person ann --target x",
			want: "grant add --deny --person=ann --target=x"},
		{name: "a switch may be turned off", in: "grant add --deny=false", want: "grant add --deny=false"},
		{name: "a flag that may be given several times", in: "grant add --action on --action off",
			want: "grant add --action=on --action=off"},
		{name: "after two dashes all are arguments", in: "person add -- --odd", want: "person add -- --odd"},
		{name: "help needs no argument", in: "target add --help", want: "target add --help"},
		{name: "help as the first word", in: "help target add", want: "target add --help"},
		{name: "help alone", in: "help", want: "--help"},
		{name: "no command", in: "--json", wrong: "want a command"},
		{name: "half a command", in: "target --json", wrong: "latchkey target: want add, change, list or rm"},
		{name: "an unknown command", in: "door add", wrong: `no command "door"`},
		{name: "an unknown flag", in: "target list --kind door",
			wrong: "no flag --kind: want --data or --json"},
		{name: "a flag before its command", in: "--kind door target add x", wrong: "no flag --kind"},
		{name: "a value that is a flag", in: "target add x --kind --pulse 3s", wrong: "--kind needs a value"},
		{name: "no value", in: "target add x --kind", wrong: "--kind needs a value"},
		{name: "the same flag twice", in: "target add x --kind door --kind lamp",
			wrong: "--kind is given twice"},
		{name: "a switch with a value", in: "target list --json=door", wrong: "takes no value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := terminal.Arrange(testGlobals, commands(), strings.Fields(tt.in))
			if tt.wrong != "" {
				if !errors.As(err, new(terminal.UsageError)) || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("got %q and %v, want a wrong use: %s", got, err, tt.wrong)
				}
				return
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("got %q and %v, want %s", got, err, tt.want)
			}
		})
	}
}

// No input makes Arrange panic. Every error is a wrong use, and arranging the result again does not
// change it.
func FuzzArrange(f *testing.F) {
	for _, s := range []string{"target add x --kind door", "--json target list",
		"card add --uid - --person ann", "help target", "grant add --action on -- y", "--", "-", "---",
		"--=x", "-h"} {
		f.Add(strings.ReplaceAll(s, " ", "\x00"))
	}
	all := commands()
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		once, err := terminal.Arrange(testGlobals, all, args)
		if err != nil {
			if !errors.As(err, new(terminal.UsageError)) {
				t.Fatalf("%q: got %v, want a wrong use", args, err)
			}
			return
		}
		twice, err := terminal.Arrange(testGlobals, all, once)
		if err != nil || !slices.Equal(once, twice) {
			t.Errorf("%q: got %q, then %q and %v", args, once, twice, err)
		}
	})
}
