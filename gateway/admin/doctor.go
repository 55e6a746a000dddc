package admin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/aging"
	"latchkey/gateway/doctor"
	"latchkey/gateway/text"
)

func (a *server) addDoctorRoutes() {
	handle(a, api.Diagnose,
		func(ctx context.Context, in *api.DoctorInput) (api.Diagnosis, error) {
			return a.diagnose(ctx, in.Device)
		})
}

// diagnose lets the doctor examine everything, or one device.
func (a *server) diagnose(ctx context.Context, device string) (api.Diagnosis, error) {
	if a.Live == nil {
		return api.Diagnosis{}, route.ErrNoGateway
	}
	f, h := a.facts(), a.Live.Handshakes()
	f.Handshakes = h
	out := api.Diagnosis{Since: h.Since, Sessions: h.Live, Limit: h.MaxLive, Counts: append([]doctor.Count{},
		h.Counts...)}
	if at, seq, problem := a.Store.Verified(); !at.IsZero() {
		out.Verified = &api.Verified{OK: problem == nil, Seq: seq, At: at}
		if problem != nil {
			out.Verified.Problem = text.MakePlain(problem.Error())
		}
		f.Damage, f.DamageAt = problem, at
	}
	var found doctor.Diagnosis
	if device != "" {
		d, err := findDevice(f.Policy, device)
		if err != nil {
			return api.Diagnosis{}, err
		}
		shown, err := viewRecord(a, f.Policy, d, a.viewDevices())
		if err != nil {
			return api.Diagnosis{}, err
		}
		out.Device = &shown
		found = doctor.DiagnoseDevice(f, d)
	} else {
		if trusted, why := a.Live.ClockTrusted(f.Now); !trusted {
			f.Clock = why
		}
		var err error
		if f.Space, err = a.space(f.Health); err != nil {
			return api.Diagnosis{}, err
		}
		out.Space = f.Space
		if a.Confinement != nil {
			out.Website = a.Confinement()
		}
		found = doctor.Diagnose(f)
		if a.Outside != nil {
			found.Findings = append(found.Findings, a.Outside.Findings(ctx)...)
		}
		if a.Aging != nil {
			kept, err := a.Aging.View(ctx)
			if err != nil {
				return api.Diagnosis{}, err
			}
			found.Findings = append(found.Findings, aging.Findings(kept)...)
		}
		if a.Rollback != nil {
			found.Findings = append(found.Findings, a.Rollback()...)
		}
		if w := out.Website; w != nil && !w.Running {
			found.Findings = append(found.Findings, doctor.ConfinementFinding(w.Lacks))
		}
	}
	out.Findings, out.More, out.Failures = found.Findings, found.More, found.Failures
	return out, nil
}

// facts returns the facts that do not concern a single device.
func (a *server) facts() doctor.Facts {
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

// space returns the space on disk. It returns nil if the data is in memory, or if the space is
// unknown and the findings say so already.
func (a *server) space(health []doctor.Finding) (*doctor.Space, error) {
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
