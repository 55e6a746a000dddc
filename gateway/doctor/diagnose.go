// Package doctor remembers what went wrong between devices and the gateway, in bounded memory. From
// that and the policy it finds what is wrong now and what to do about it. It repairs nothing and
// moves nothing. Package admin serves its answers.
package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Bounds of a diagnosis.
const (
	maxFindings = 200
	maxStrange  = 16 // of them about peers that are no known device
	// recently is how long a failure counts if no later success ends it. What still fails comes
	// again within that time.
	recently = time.Hour
	// tight: free space below this many times the least is a finding.
	tight = 4
)

// Facts is the input of a diagnosis.
type Facts struct {
	Now        time.Time
	Policy     *access.Policy
	Handshakes Handshakes
	Devices    map[access.ID]Device // those that were connected since the gateway's start
	Alarms     []Alarm              // that nobody has acknowledged, oldest first
	Health     []Finding            // of [CheckHealth]
	Clock      string               // why the clock is not trusted; empty: it is
	Damage     error                // what the last verification of the store found; nil: nothing
	DamageAt   time.Time            // when it was found
	Space      *Space               // nil: not known
}

// Device is what is known of a device's sessions.
type Device struct {
	Online    bool
	Addr      string // of the present or last session
	LastHeard time.Time
	MaxPulse  time.Duration // a lock's longest unlock, as it said; 0: it did not say
	Late      *LateScans    // nil: none
}

// Alarm is an alarm that nobody has acknowledged.
type Alarm struct {
	Seq      uint64 // of its event
	Place    string // the name of the door, or of the device
	Words    string // what is wrong
	Device   audit.Named
	At, Last time.Time
	Times    int
}

// Space is how much there is on disk, in bytes.
type Space struct {
	Used  uint64 `json:"used" doc:"bytes that the data folder takes"`
	Free  uint64 `json:"free" doc:"bytes that are free in its file system"`
	Least uint64 `json:"least" doc:"below so many free bytes nothing is granted any more"`
}

// Diagnosis is what is wrong.
type Diagnosis struct {
	Findings []Finding
	More     int       // findings that were left out
	Failures []Failure // newest first; for one device, those that may be its own
}

// examination is a diagnosis under way.
type examination struct {
	Facts
	Diagnosis
	failed map[access.ID][]Failure // by the device whose identity was claimed
	room   int                     // for findings about strangers
}

// begin finds what concerns all devices. If the question is about one device, it reports only a
// failed store of the gateway's own health.
func begin(f Facts, one bool) *examination {
	x := &examination{Facts: f, failed: map[access.ID][]Failure{}, room: maxStrange,
		Diagnosis: Diagnosis{Findings: []Finding{}, Failures: []Failure{}}}
	for i, f := range x.Handshakes.Failures {
		if k, ok := x.Policy.Keys[keys.ID(f.Identity)]; ok {
			f.Device = nameDevice(x.Policy, k.Device)
			x.Handshakes.Failures[i] = f
			x.failed[f.Device.ID] = append(x.failed[f.Device.ID], f)
		}
	}
	for _, found := range f.Health {
		if !one || found.Code == CodeStore {
			x.add(found)
		}
	}
	if f.Damage != nil {
		problem := text.MakePlain(f.Damage.Error())
		x.find(CodeStore, audit.Named{},
			"the data on disk is damaged, found at "+x.time(f.DamageAt)+": "+problem,
			"copy the data folder, and put back a whole copy from before, before you restart the gateway")
	}
	return x
}

// Diagnose examines everything. It also fills in the devices in f.Handshakes.Failures.
func Diagnose(f Facts) Diagnosis {
	x := begin(f, false)
	if f.Clock != "" && !x.has(CodeClock) {
		x.add(ClockFinding(f.Clock))
	}
	x.reportAlarms(nil)
	if s := f.Space; s != nil && s.Free < tight*s.Least && !x.has(CodeSpace) {
		x.add(SpaceFinding(s.Free, s.Least, 0, nil))
	}
	x.reportCrowd()
	devices := make([]access.Device, 0, len(x.Policy.Devices))
	for _, d := range x.Policy.Devices {
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b access.Device) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range devices {
		x.reportLate(d)
		x.reportPulse(d)
		x.examineDevice(d, false)
	}
	for _, f := range x.Handshakes.Failures {
		if f.Device.ID == "" {
			x.reportStranger(&f, nil)
		}
		x.Failures = append(x.Failures, f)
	}
	return x.Diagnosis
}

// DiagnoseDevice examines one device. It also fills in the devices in f.Handshakes.Failures.
func DiagnoseDevice(f Facts, d access.Device) Diagnosis {
	x := begin(f, true)
	x.reportAlarms(&d)
	x.reportLate(d)
	x.reportPulse(d)
	gone := x.examineDevice(d, true)
	for _, f := range x.Handshakes.Failures {
		switch {
		case f.Device.ID == d.ID:
			x.Failures = append(x.Failures, f)
		case gone && f.Device.ID == "":
			if x.reportStranger(&f, &d) {
				x.Failures = append(x.Failures, f)
			}
		}
	}
	if gone {
		x.reportCrowd()
	}
	return x.Diagnosis
}

func (x *examination) find(code string, device audit.Named, text, do string) {
	x.add(Finding{Code: code, Device: device, Text: text, Do: do})
}

func (x *examination) add(f Finding) {
	if len(x.Findings) >= maxFindings {
		x.More++
		return
	}
	x.Findings = append(x.Findings, f)
}

func (x *examination) has(code string) bool {
	return slices.ContainsFunc(x.Findings, func(f Finding) bool { return f.Code == code })
}

// reportAlarms reports the alarms that nobody has acknowledged, all or those of one device.
func (x *examination) reportAlarms(device *access.Device) {
	for _, alarm := range x.Alarms {
		if device != nil && device.ID != alarm.Device.ID {
			continue
		}
		text := fmt.Sprintf("%s: %s, on %s", alarm.Place, alarm.Words, x.time(alarm.At))
		if alarm.Times > 1 {
			text += fmt.Sprintf(", and %d times in all, last on %s", alarm.Times, x.time(alarm.Last))
		}
		x.find(codeAlarm, alarm.Device, text,
			fmt.Sprintf("look at the place; then, so that everybody knows that "+
				"you did: latchkey alarm acknowledge %d", alarm.Seq))
	}
}

// reportLate reports scans that came too late to be decided.
func (x *examination) reportLate(d access.Device) {
	l := x.Devices[d.ID].Late
	if l == nil || x.Now.Sub(l.Last) > recently {
		return
	}
	text := fmt.Sprintf("%s: %s too late to be decided, the last at %s, %d ms after the tap", d.Name,
		english.Plural(int(l.Count), "scan came", "scans came"), x.time(l.Last), l.After)
	x.find(codeLate, nameDevice(x.Policy, d.ID), text, "look for a weak radio link or a busy network. "+
		"If there is neither, somebody may hold back what the device sends. Nothing opened")
}

// reportPulse reports a lock that does not hold as long as its door's pulse.
func (x *examination) reportPulse(d access.Device) {
	if d.Kind != keys.KindLock || len(d.Targets) != 1 {
		return
	}
	t := x.Policy.Targets[d.Targets[0]]
	if limit := x.Devices[d.ID].MaxPulse; limit > 0 && t.Pulse > limit {
		x.find(codePulse, nameDevice(x.Policy, d.ID),
			fmt.Sprintf("%s: its pulse is %v, but its lock %s holds only %v", t.Name, t.Pulse, d.Name,
				limit),
			fmt.Sprintf("make its pulse shorter: latchkey target change %s --pulse %v", t.Name, limit))
	}
}

// examineDevice finds what is wrong with a device. gone tells that the device is not connected and
// nothing that it sent explains why. asked tells that the question is about this device; then a
// finding about what somebody did on purpose is reported too.
func (x *examination) examineDevice(d access.Device, asked bool) (gone bool) {
	s, seen := x.Devices[d.ID]
	ref, ids := nameDevice(x.Policy, d.ID), x.listUsable(d.ID)
	found := false
	for _, f := range x.failed[d.ID] {
		// If a device is connected, or must not connect, only recent failures count.
		old := x.Now.Sub(f.Last) > recently && (s.Online || len(ids) == 0 && !asked)
		if !old && f.Last.After(x.findCompleted(d.ID)) && (len(ids) > 0 || f.Cause == CauseRevoked) {
			found = true
			x.reportClaim(&f, d, s.Online, len(ids) > 0)
		}
	}
	switch {
	case len(ids) == 0:
		if asked && !found {
			x.find(string(CauseRevoked), ref, d.Name+": its keys are revoked",
				"if it is to come back: latchkey device rekey "+d.Name+", and put what that prints into it")
		}
		return false
	case s.Online || found && !seen:
		return false
	}
	do := "check that it has power and is in the network, that its gateway's address is this one, " +
		"and that UDP passes in both directions"
	if seen {
		addr, _, _ := strings.Cut(s.Addr, "#")
		text := fmt.Sprintf("%s: offline. It was last heard at %s from %s", d.Name, x.time(s.LastHeard), addr)
		x.find(codeOffline, ref, text, do)
	} else {
		text := fmt.Sprintf("%s: nothing has come with %s since the gateway started at %s",
			d.Name, strings.Join(ids, " or "), x.time(x.Handshakes.Since))
		if used := x.findLastUsed(d.ID); used.IsZero() {
			text += ", and it has never been connected"
		} else {
			text += "; it was last connected on " + used.Format(time.DateOnly)
		}
		x.find(codeNoTraffic, ref, text, do+"; and that its identity is the one above. "+
			"A failed try is shown here after half a minute")
	}
	return !found
}

func (x *examination) time(t time.Time) string { return t.In(x.Policy.Zone()).Format(time.DateTime) }

// listUsable returns the identities with which a device may connect, newest last.
func (x *examination) listUsable(id access.ID) (ids []string) {
	for _, k := range x.Policy.KeysOf(id) {
		if k.State.Usable() {
			ids = append(ids, string(k.ID))
		}
	}
	return ids
}

// findCompleted returns when a device last completed a handshake, or zero if it has not since the
// start.
func (x *examination) findCompleted(id access.ID) (last time.Time) {
	for _, k := range x.Policy.KeysOf(id) {
		last = latest(last, x.Handshakes.Completed[k.ID])
	}
	return last
}

// findLastUsed returns the day of a device's last handshake, also one before the start.
func (x *examination) findLastUsed(id access.ID) (last time.Time) {
	for _, k := range x.Policy.KeysOf(id) {
		last = latest(last, k.LastUsed)
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func nameDevice(p *access.Policy, id access.ID) audit.Named {
	return audit.Named{ID: id, Name: p.Devices[id].Name}
}
