package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Bounds of a diagnosis.
const (
	maxFindings = 200
	maxStrange  = 16 // of them about peers that are no known device
	// recently is how long a failure counts that no later success shows to be over: what still fails comes again within that time.
	recently = time.Hour
)

// Diagnosis is what is wrong with the devices' way to the gateway, as the gateway sees it.
type Diagnosis struct {
	Findings []Finding `json:"findings" doc:"what is wrong and what to do; none when nothing is"`
	More     int       `json:"more,omitempty" doc:"further findings that were left out"`
	Device   *Device   `json:"device,omitempty" doc:"the one that was asked about"`
	Since    time.Time `json:"since" doc:"the gateway's start: nothing is known of handshakes before"`
	Sessions int       `json:"sessions" doc:"live ones"`
	Limit    int       `json:"limit" doc:"how many sessions there may be"`
	Space    *Space    `json:"space,omitempty" doc:"where policy and events lie; left out when that is in memory"`
	Verified *Verified `json:"verified,omitempty" doc:"what the last check of all files and events found; left out before the first since the start"`
	Counts   []Count   `json:"counts" doc:"handshakes that failed since then, of all peers"`
	Failures []Failure `json:"failures" doc:"newest first; of one device those with its identities, and while it is not there those that name no device"`
}

// Space is how much there is on disk, in bytes.
type Space struct {
	Used  uint64 `json:"used" doc:"bytes that the data folder takes"`
	Free  uint64 `json:"free" doc:"bytes that are free in its file system"`
	Least uint64 `json:"least" doc:"below so many free bytes nothing is granted any more"`
}

// tight is how many times the least free space still is a finding.
const tight = 4

// Finding is one thing that is wrong.
type Finding struct {
	Code   string `json:"code" doc:"a cause of failed handshakes, or no-traffic, offline, late, pulse, alarm, clock, store, space, slow"`
	Device Ref    `json:"device,omitzero"`
	Text   string `json:"text" doc:"what was found, for people"`
	Do     string `json:"do" doc:"what to do about it"`
}

// Codes of findings that are no cause of a failed handshake.
const (
	codeNoTraffic = "no-traffic" // nothing has come with any of the device's identities
	codeOffline   = "offline"    // it was here, and is not
	codeAlarm     = "alarm"      // one that nobody has acknowledged
	codeLate      = "late"       // scans come so late that they are not decided
	codePulse     = "pulse"      // a door's pulse is longer than its lock holds
)

// Codes of findings that keep every door shut, or may soon.
const (
	CodeClock = "clock"
	CodeStore = "store"
	CodeSpace = "space"
	CodeSlow  = "slow"
)

// StoreFinding is about a store that has failed.
func StoreFinding(err error) Finding {
	return Finding{Code: CodeStore, Text: "nothing can be decided, every door stays shut: " + plain(err.Error()), Do: "restart the gateway"}
}

// ClockFinding is about a clock that is not trusted.
func ClockFinding(why string) Finding {
	return Finding{Code: CodeClock, Text: "the clock is not trusted, so what depends on the time denies: " + why, Do: "set this machine's clock right"}
}

// SpaceFinding is about a disk that is full, or nearly. held is how many restrictions act and are not durable.
func SpaceFinding(free, least uint64, held int, err error) Finding {
	f := Finding{Code: CodeSpace, Text: fmt.Sprintf("%s are free where the data lies; below %s no door opens", humanize.Bytes(free), humanize.Bytes(least)),
		Do: "make room there, or move the data folder to a larger disk while the gateway is stopped"}
	if err != nil {
		f.Text = "how much is free where the data lies cannot be told, so no door opens: " + plain(err.Error())
	}
	if held > 0 {
		f.Text += fmt.Sprintf("; %s NOT durable", english.Plural(held, "restriction acts in memory and is", "restrictions act in memory and are"))
	}
	return f
}

// DoctorInput says what to look at.
type DoctorInput struct {
	Device string `query:"device" doc:"name or id; everything if left out"`
}

func (a *api) doctorRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/doctor", "diagnose", "Why devices do not come in, and what to do about it",
		func(_ context.Context, in *DoctorInput) (*body[Diagnosis], error) {
			return answer(a.diagnose(in.Device))
		})
}

// examination is one diagnosis being made.
type examination struct {
	*Diagnosis
	p      *access.Policy
	h      Handshakes
	status map[access.ID]DeviceStatus
	failed map[access.ID][]Failure // by the device whose identity was claimed
	now    time.Time
	room   int // for findings about strangers
}

func (a *api) diagnose(device string) (Diagnosis, error) {
	if a.Live == nil {
		return Diagnosis{}, ErrNoGateway
	}
	x := examination{p: a.Store.Snapshot(), h: a.Live.Handshakes(), status: map[access.ID]DeviceStatus{},
		failed: map[access.ID][]Failure{}, now: a.Now(), room: maxStrange}
	x.Diagnosis = &Diagnosis{Findings: []Finding{}, Since: x.h.Since, Sessions: x.h.Live, Limit: x.h.MaxLive, Counts: append([]Count{}, x.h.Counts...),
		Failures: []Failure{}}
	for _, s := range a.Live.Status() {
		x.status[s.Device] = s
	}
	for i, f := range x.h.Failures {
		if k, ok := x.p.Keys[keys.ID(f.Identity)]; ok {
			f.Device = deviceRef(x.p, k.Device)
			x.h.Failures[i] = f
			x.failed[f.Device.ID] = append(x.failed[f.Device.ID], f)
		}
	}
	if a.Health != nil {
		for _, f := range a.Health() {
			if device == "" || f.Code == CodeStore {
				x.add(f)
			}
		}
	}
	x.verified(a)
	if device != "" {
		err := x.one(a, device)
		return *x.Diagnosis, err
	}
	if trusted, why := a.Live.ClockTrusted(x.now); !trusted && !x.has(CodeClock) {
		x.add(ClockFinding(why))
	}
	x.alarms(a, nil)
	if err := x.space(a); err != nil {
		return Diagnosis{}, err
	}
	x.all()
	return *x.Diagnosis, nil
}

// alarms are those that nobody has acknowledged: all, or those of one device.
func (x *examination) alarms(a *api, device *access.Device) {
	for _, alarm := range a.Live.Alarms() {
		if device != nil && device.ID != alarm.Device.ID {
			continue
		}
		text := fmt.Sprintf("%s: %s, on %s", cmp.Or(alarm.Target.Name, alarm.Device.Name), alarm.Words, x.time(alarm.At))
		if alarm.Times > 1 {
			text += fmt.Sprintf(", and %d times in all, last on %s", alarm.Times, x.time(alarm.Last))
		}
		x.find(codeAlarm, alarm.Device, text,
			fmt.Sprintf("look at the place; then, so that everybody knows that somebody did: latchkey alarm acknowledge %d", alarm.Seq))
	}
}

// late is about scans that came too late to be decided.
func (x *examination) late(d access.Device) {
	l := x.status[d.ID].LateScans
	if l == nil || x.now.Sub(l.Last) > recently {
		return
	}
	x.find(codeLate, deviceRef(x.p, d.ID), fmt.Sprintf("%s: %s too late to be decided, the last at %s, %d ms after the tap", d.Name,
		english.Plural(int(l.Count), "scan came", "scans came"), x.time(l.Last), l.After),
		"look for a weak radio link or a busy network. If there is neither, somebody may hold back what the device sends; nothing opened by it")
}

// pulse is about a lock that does not hold as long as its door's pulse says.
func (x *examination) pulse(d access.Device) {
	if d.Kind != keys.KindLock || len(d.Targets) != 1 {
		return
	}
	t := x.p.Targets[d.Targets[0]]
	if limit := time.Duration(x.status[d.ID].MaxPulse) * time.Millisecond; limit > 0 && t.Pulse > limit {
		x.find(codePulse, deviceRef(x.p, d.ID), fmt.Sprintf("%s: its pulse is %v, and its lock %s lets go after %v", t.Name, t.Pulse, d.Name, limit),
			fmt.Sprintf("latchkey target change %s --pulse %v", t.Name, limit))
	}
}

// verified tells of the last check of all that is on disk.
func (x *examination) verified(a *api) {
	at, seq, problem := a.Store.Verified()
	if at.IsZero() {
		return
	}
	x.Diagnosis.Verified = &Verified{OK: problem == nil, Seq: seq, At: at}
	if problem != nil {
		x.Diagnosis.Verified.Problem = plain(problem.Error())
		x.find(CodeStore, Ref{}, "what is on disk is damaged, as was found at "+x.time(at)+": "+plain(problem.Error()),
			"keep a copy of the data folder, and put one back that is whole, before the gateway is restarted")
	}
}

// space looks at the disk.
func (x *examination) space(a *api) error {
	used, free, least, err := a.Store.Space()
	if errors.Is(err, errors.ErrUnsupported) || err != nil && x.has(CodeSpace) {
		return nil
	}
	if err != nil {
		return err
	}
	x.Space = &Space{Used: used, Free: free, Least: least}
	if free < tight*least && !x.has(CodeSpace) {
		x.add(SpaceFinding(free, least, 0, nil))
	}
	return nil
}

// one looks at one device.
func (x *examination) one(a *api, ref string) error {
	d, err := findDevice(x.p, ref)
	if err != nil {
		return err
	}
	view := a.viewDevices()(x.p, d)
	x.Device = &view
	x.alarms(a, &d)
	x.late(d)
	x.pulse(d)
	gone := x.device(d, true)
	for _, f := range x.h.Failures {
		switch {
		case f.Device.ID == d.ID:
			x.Failures = append(x.Failures, f)
		case gone && f.Device.ID == "":
			if x.stranger(&f, &d) {
				x.Failures = append(x.Failures, f)
			}
		}
	}
	if gone {
		x.crowded()
	}
	return nil
}

// all looks at every device, and at everybody else.
func (x *examination) all() {
	x.crowded()
	devices := make([]access.Device, 0, len(x.p.Devices))
	for _, d := range x.p.Devices {
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b access.Device) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range devices {
		x.late(d)
		x.pulse(d)
		x.device(d, false)
	}
	for _, f := range x.h.Failures {
		if f.Device.ID == "" {
			x.stranger(&f, nil)
		}
		x.Failures = append(x.Failures, f)
	}
}

func (x *examination) find(code string, device Ref, text, do string) {
	x.add(Finding{code, device, text, do})
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

// device finds what is wrong with a device, and tells whether it is not there and nothing that it sent says why. asked: the question is about
// this one, so that what somebody did on purpose is said too.
func (x *examination) device(d access.Device, asked bool) (gone bool) {
	s, seen := x.status[d.ID]
	ref, ids := deviceRef(x.p, d.ID), x.usable(d.ID)
	found := false
	for _, f := range x.failed[d.ID] {
		// Of a device that is here, or is not to come, only what goes on is wrong.
		old := x.now.Sub(f.Last) > recently && (s.Online || len(ids) == 0 && !asked)
		if !old && f.Last.After(x.completed(d.ID)) && (len(ids) > 0 || f.Cause == CauseRevoked) {
			found = true
			x.claim(&f, d, s.Online, len(ids) > 0)
		}
	}
	switch {
	case len(ids) == 0:
		if asked && !found {
			x.find(string(CauseRevoked), ref, d.Name+": none of its keys opens anything: they are revoked",
				"if it is to come back: latchkey device rekey "+d.Name+", and put what that prints into it")
		}
		return false
	case s.Online || found && !seen:
		return false
	}
	do := "see that it has power and is in the network, that it calls this gateway and not another address, and that UDP is let through both ways"
	if seen {
		addr, _, _ := strings.Cut(s.Addr, "#")
		x.find(codeOffline, ref, fmt.Sprintf("%s: offline. It was last heard at %s from %s", d.Name, x.time(s.LastHeard), addr), do)
	} else {
		text := fmt.Sprintf("%s: nothing has come with %s since the gateway started at %s", d.Name, strings.Join(ids, " or "), x.time(x.Since))
		if used := x.lastUsed(d.ID); used.IsZero() {
			text += ", and it has never been connected"
		} else {
			text += "; it was last connected on " + used.Format(time.DateOnly)
		}
		x.find(codeNoTraffic, ref, text, do+"; and that its identity is written as here. A try that fails shows when it is over, after half a minute")
	}
	return !found
}

func (x *examination) time(t time.Time) string { return t.In(x.p.Zone()).Format(time.DateTime) }

// usable are the identities with which a device may come, newest last.
func (x *examination) usable(id access.ID) (ids []string) {
	for _, k := range x.p.KeysOf(id) {
		if k.State.Usable() {
			ids = append(ids, string(k.ID))
		}
	}
	return ids
}

// completed is when a device last completed a handshake; zero if it has not since the start.
func (x *examination) completed(id access.ID) (last time.Time) {
	for _, k := range x.p.KeysOf(id) {
		last = latest(last, x.h.Completed[k.ID])
	}
	return last
}

// lastUsed is the day of a device's last handshake, from before the start too.
func (x *examination) lastUsed(id access.ID) (last time.Time) {
	for _, k := range x.p.KeysOf(id) {
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
