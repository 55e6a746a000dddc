package cli

import (
	"fmt"
	"io"
	"strconv"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
)

func unlockCommand() spec {
	return spec{name: "unlock", args: "DOOR", usage: "open a door now for one pulse", live: true,
		run: func(x *call) error { return x.operate(x.arg(0), "unlock", 0) }}
}

func lampCommands() (out []spec) {
	for _, c := range []struct{ action, usage string }{
		{"on", "switch a lamp on"}, {"off", "switch a lamp off"},
		{"toggle", "switch a lamp on if it is off, and off if it is on"},
	} {
		out = append(out, spec{name: c.action, args: "LAMP", usage: c.usage, live: true,
			run: func(x *call) error { return x.operate(x.arg(0), c.action, 0) }})
	}
	return append(out, spec{name: "level", args: "LAMP LEVEL", usage: "dim a lamp, 0 to 100", live: true,
		run: func(x *call) error {
			n, err := strconv.ParseUint(x.arg(1), 10, 8)
			if err != nil || n > 100 {
				return x.wrong("there is no level %q: want 0 to 100", terminal.ShortenWord(x.arg(1)))
			}
			return x.operate(x.arg(0), "level", uint8(n))
		}})
}

var outcomeTexts = map[audit.Outcome]string{
	audit.OutcomeRefused: "its device refused",
	audit.OutcomeOffline: "its device is offline, so nothing was sent",
	audit.OutcomeUnknown: "its device did not answer, so its state is unknown",
	audit.OutcomeLate:    "it was too late to send the command",
}

// operate moves a target. Every result other than done is a failure.
func (x *call) operate(target, action string, level uint8) error {
	order := api.Order{Target: target, Action: action, Level: level}
	got, raw, err := callAPI(x, api.Operate, api.With(order))
	if err != nil {
		return err
	}
	done := got.Granted && got.Outcome == audit.OutcomeDone
	if x.json() || done {
		if err := x.show(raw, func(w io.Writer) {
			printLine(w, fmt.Sprintf("%s: %s done (event %d)", target, action, got.Seq))
			if got.Note != "" {
				printLine(w, "note: "+terminal.QuoteLine(got.Note))
			}
		}); err != nil || done {
			return err
		}
	}
	if !got.Granted {
		return fmt.Errorf("%s: denied: %s (event %d)", target, got.Reason, got.Seq)
	}
	text, ok := outcomeTexts[got.Outcome]
	if !ok {
		text = "its outcome is not known"
	}
	return fmt.Errorf("%s: granted, but %s (event %d)", target, text, got.Seq)
}
