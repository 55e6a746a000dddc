package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
)

// maxShown bounds how many failures are printed; --json has all.
const maxShown = 20

func doctorCommand() spec {
	return spec{
		name: "doctor", usage: "find out why devices do not connect, and what to do about it", live: true,
		flags: []cli.Flag{&cli.StringFlag{Name: "device", Usage: "only this device"}},
		run:   diagnose,
	}
}

// diagnose prints what is wrong. Every finding is a failure.
func diagnose(x *call) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	d, raw, err := callAPI(x, api.Diagnose, api.DoctorInput{Device: x.String("device")})
	if err != nil {
		return err
	}
	err = x.show(raw, func(w io.Writer) {
		for _, f := range d.Findings {
			printLine(w, terminal.QuoteLine(f.Text))
			printLine(w, "  → "+terminal.QuoteLine(f.Do))
		}
		if d.More > 0 {
			printLine(w, fmt.Sprintf("and %d more: name one with --device", d.More))
		}
		if len(d.Findings) == 0 {
			printLine(w, healthy(d))
		}
		if d.Device != nil && d.Device.Live != nil && d.Device.Live.Refused != nil {
			last := *d.Device.Live.Refused
			printLine(w, refused(d.Device.Name, last, inZone(last.At, zone)))
		}
		if d.Device == nil {
			printLine(w, fmt.Sprintf("sessions: %d of %d; failed handshakes since %s: %s", d.Sessions,
				d.Limit, inZone(d.Since, zone), counts(d.Counts)))
			if s := d.Space; s != nil {
				printLine(w, fmt.Sprintf("data: %s, and %s free", humanize.Bytes(s.Used),
					humanize.Bytes(s.Free)))
			}
			if s := d.Website; s != nil && s.Running {
				printLine(w, confinement(s.Lacks))
			}
			if v := d.Verified; v != nil && v.OK {
				printLine(w, fmt.Sprintf("files and events 1 to %d verified: %s", v.Seq, inZone(v.At, zone)))
			}
		}
		if len(d.Failures) == 0 {
			return
		}
		printRow(w, []string{"FAILED", "IDENTITY", "DEVICE", "TIMES", "FIRST", "LAST", "FROM"})
		for i, f := range d.Failures {
			if i == maxShown {
				printLine(w, fmt.Sprintf("and %d more, longer ago: --json has them", len(d.Failures)-i))
				break
			}
			printRow(w, []string{string(f.Cause), terminal.QuoteLine(f.Identity), f.Device.Name,
				strconv.FormatUint(f.Count, 10), inZone(f.First, zone), inZone(f.Last, zone), f.Addr})
		}
	})
	switch n := len(d.Findings) + d.More; {
	case err != nil:
		return err
	case n == 1:
		return errors.New("1 thing is wrong")
	case n > 1:
		return fmt.Errorf("%d things are wrong", n)
	}
	return nil
}

// confinement says how the website's process is confined, and which protection the kernel lacks.
func confinement(lacks string) string {
	if lacks == "" {
		return "website: confined by seccomp and Landlock"
	}
	return "website: confined by seccomp; the kernel lacks " + terminal.QuoteLine(lacks)
}

// refused says which request was refused last, and why. The cause may be gone, since a node may
// have corrected it.
func refused(device string, r doctor.Refusal, at string) string {
	request := "a request"
	if r.Request != "" {
		request = r.Request
	}
	text := fmt.Sprintf("last refusal: %s, the gateway answered %s of %s with %s", at, request, device,
		r.Code)
	if r.ByDevice {
		text = fmt.Sprintf("last refusal: %s, %s answered %s of the gateway with %s", at, device, request,
			r.Code)
	}
	if r.Why != "" {
		text += ": " + r.Why
	}
	return terminal.QuoteLine(text)
}

// healthy returns the line for a gateway without findings.
func healthy(d api.Diagnosis) string {
	if d.Device == nil {
		return "nothing is wrong: every device that may connect is online"
	}
	return d.Device.Name + ": nothing is wrong, it is online"
}

// counts returns the causes of failed handshakes.
func counts(of []doctor.Count) string {
	var out []string
	for _, c := range of {
		if c.Count > 0 {
			out = append(out, fmt.Sprintf("%d %s", c.Count, c.Cause))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
