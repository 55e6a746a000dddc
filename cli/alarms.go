package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/keys/provision"
)

func statusCommand() spec {
	return spec{name: "status", live: true, run: status,
		usage: "show the state of every door, and open alarms"}
}

// status prints the state of the doors. An alarm that nobody has acknowledged is a failure.
func status(x *call) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	s, raw, err := callAPI(x, api.GetStatus, api.Nothing{})
	if err != nil {
		return err
	}
	err = x.show(raw, func(w io.Writer) {
		if s.Lockdown {
			printLine(w, "lockdown: doors stay shut for everybody")
		}
		if !s.Time.Trusted {
			printLine(w, "the clock is not trusted: "+terminal.QuoteLine(s.Time.Why))
		}
		for _, t := range s.Doors {
			printRow(w, []string{t.Name, doorText(t, zone)})
		}
		for _, a := range s.Alarms {
			printLine(w, "ALARM "+alarmLine(a, zone))
			printLine(w, fmt.Sprintf("  → look at the place, then: latchkey alarm acknowledge %d", a.Seq))
		}
	})
	if err != nil || len(s.Alarms) == 0 {
		return err
	}
	return alarmed(len(s.Alarms))
}

func alarmed(n int) error {
	return fmt.Errorf("%s that nobody has acknowledged", english.Plural(n, "alarm", ""))
}

// doorText returns the state of a door; empty for a lamp, and without a gateway.
func doorText(t api.Target, zone *time.Location) string {
	if t.State == nil {
		return ""
	}
	return t.State.Text(func(at time.Time) string { return inZone(at, zone) })
}

func alarmLine(a api.Alarm, zone *time.Location) string {
	place := a.Device.Name
	if a.Target.Name != "" {
		place = a.Target.Name
	}
	line := fmt.Sprintf("%d: %s: %s, %s, by %s", a.Seq, place, a.Words, inZone(a.At, zone), a.Device.Name)
	if a.Times > 1 {
		line += fmt.Sprintf(", %d times, last %s", a.Times, inZone(a.Last, zone))
	}
	return line
}

func alarmCommands() []spec {
	return []spec{
		{name: "list", usage: "list alarms that nobody has acknowledged", live: true, run: listAlarms},
		{
			name: "acknowledge", args: "NUMBER|DOOR",
			usage: "acknowledge an alarm, or all alarms of a door, by your name; that ends them",
			live:  true,
			flags: []cli.Flag{&cli.StringFlag{Name: "remark", Usage: "what the cause was; kept in the event"}},
			run:   acknowledge,
		},
	}
}

func listAlarms(x *call) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	return list(x, api.ListAlarms, api.ListQuery{}, "NUMBER WHAT DOOR DEVICE AT TIMES",
		func(a api.Alarm) []string {
			return []string{strconv.FormatUint(a.Seq, 10), string(a.What), a.Target.Name, a.Device.Name,
				inZone(a.At, zone), strconv.Itoa(a.Times)}
		})
}

// acknowledge ends one alarm by its number, or all alarms of a door or a device.
func acknowledge(x *call) error {
	open, _, err := callAPI(x, api.ListAlarms, api.ListQuery{})
	if err != nil {
		return err
	}
	which := x.arg(0)
	number, err := strconv.ParseUint(which, 10, 64)
	var numbers []uint64
	if err == nil {
		numbers = []uint64{number}
	}
	for _, a := range open.Items {
		if err != nil && (a.Target.Name == which || string(a.Target.ID) == which || a.Device.Name == which ||
			string(a.Device.ID) == which) {
			numbers = append(numbers, a.Seq)
		}
	}
	if len(numbers) == 0 {
		return fmt.Errorf("%s: it has no open alarm: "+
			"latchkey alarm list shows those that nobody has acknowledged", provision.QuoteShell(which))
	}
	for _, n := range numbers {
		in := api.AlarmInput{Seq: n, Body: api.Acknowledgement{Remark: x.String("remark")}}
		err := ask(x, api.AcknowledgeAlarm, in, func(a api.Alarm) string {
			return fmt.Sprintf("acknowledged: %s (event %d)", strings.TrimSpace(a.Target.Name+" "+a.Words), a.Seq)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
