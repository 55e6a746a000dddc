package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/doctor"
)

// Diagnosis is what is wrong with the devices' way to the gateway, as the gateway sees it.
type Diagnosis struct {
	Findings []doctor.Finding    `json:"findings" doc:"what is wrong and what to do; none when nothing is"`
	More     int                 `json:"more,omitempty" doc:"further findings that were left out"`
	Device   *Device             `json:"device,omitempty" doc:"the one that was asked about"`
	Since    time.Time           `json:"since" doc:"the gateway's start: nothing is known of handshakes before"`
	Sessions int                 `json:"sessions" doc:"live ones"`
	Limit    int                 `json:"limit" doc:"how many sessions there may be"`
	Space    *doctor.Space       `json:"space,omitempty" doc:"where policy and events lie; left out when that is in memory"`
	Website  *doctor.Confinement `json:"website,omitempty" doc:"what holds the website back; left out when there is none"`
	Verified *Verified           `json:"verified,omitempty" doc:"what the last check of all files and events found; left out before the first since the start"`
	Counts   []doctor.Count      `json:"counts" doc:"handshakes that failed since then, of all peers"`
	Failures []doctor.Failure    `json:"failures" doc:"newest first; of one device those with its identities, and while it is not there those that name no device"`
}

// DoctorInput says what to look at.
type DoctorInput struct {
	Device string `query:"device" doc:"name or id; everything if left out"`
}

func (a *api) doctorRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/doctor", "diagnose",
		"Why devices do not come in, and what to do about it",
		func(_ context.Context, in *DoctorInput) (*body[Diagnosis], error) {
			return answer(a.diagnose(in.Device))
		})
}

// diagnose has the doctor look at everything, or at one device.
func (a *api) diagnose(device string) (Diagnosis, error) {
	if a.Live == nil {
		return Diagnosis{}, ErrNoGateway
	}
	f, h := a.facts(), a.Live.Handshakes()
	f.Handshakes = h
	out := Diagnosis{Since: h.Since, Sessions: h.Live, Limit: h.MaxLive, Counts: append([]doctor.Count{},
		h.Counts...)}
	if at, seq, problem := a.Store.Verified(); !at.IsZero() {
		out.Verified = &Verified{OK: problem == nil, Seq: seq, At: at}
		if problem != nil {
			out.Verified.Problem = access.PlainText(problem.Error())
		}
		f.Damage, f.DamageAt = problem, at
	}
	var found doctor.Diagnosis
	if device != "" {
		d, err := findDevice(f.Policy, device)
		if err != nil {
			return Diagnosis{}, err
		}
		view := a.viewDevices()(f.Policy, d)
		out.Device = &view
		found = doctor.DiagnoseDevice(f, d)
	} else {
		if trusted, why := a.Live.ClockTrusted(f.Now); !trusted {
			f.Clock = why
		}
		var err error
		if f.Space, err = a.space(f.Health); err != nil {
			return Diagnosis{}, err
		}
		out.Space = f.Space
		if a.Confinement != nil {
			out.Website = a.Confinement()
		}
		found = doctor.Diagnose(f)
		if w := out.Website; w != nil && !w.Running {
			found.Findings = append(found.Findings, doctor.ConfinementFinding(w.Lacks))
		}
	}
	out.Findings, out.More, out.Failures = found.Findings, found.More, found.Failures
	return out, nil
}

// facts are those that concern everybody.
func (a *api) facts() doctor.Facts {
	f := doctor.Facts{Now: a.Now(), Policy: a.Store.Snapshot(), Devices: map[access.ID]doctor.Device{}}
	for _, s := range a.Live.Status() {
		f.Devices[s.Device] = doctor.Device{Online: s.Online, Addr: s.Addr, LastHeard: s.LastHeard,
			MaxPulse: time.Duration(s.MaxPulse) * time.Millisecond, Late: s.LateScans}
	}
	for _, l := range a.Live.Alarms() {
		f.Alarms = append(f.Alarms, doctor.Alarm{Seq: l.Seq, Place: cmp.Or(l.Target.Name, l.Device.Name),
			Words:  l.Words,
			Device: l.Device, At: l.At, Last: l.Last, Times: l.Times})
	}
	if a.Health != nil {
		f.Health = a.Health()
	}
	return f
}

// space is how much there is on disk; nil if the data is in memory, or if it cannot be told and the
// findings say so already.
func (a *api) space(health []doctor.Finding) (*doctor.Space, error) {
	used, free, least, err := a.Store.Space()
	known := slices.ContainsFunc(health, func(f doctor.Finding) bool { return f.Code == doctor.CodeSpace })
	switch {
	case errors.Is(err, errors.ErrUnsupported), err != nil && known:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &doctor.Space{Used: used, Free: free, Least: least}, nil
}
