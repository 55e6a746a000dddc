package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/doctor"
	"latchkey/keys"
)

// DeviceStatus is what a running gateway knows of a device. What was commanded, what was
// acknowledged and what is sensed are three things: State is the second and third, and means
// something only while Known.
type DeviceStatus struct {
	Device    access.ID `json:"device"`
	Online    bool      `json:"online" doc:"registered, and not lapsed"`
	Since     time.Time `json:"since,omitzero" doc:"of the present or last session"`
	Addr      string    `json:"addr,omitempty"`
	Identity  keys.ID   `json:"identity,omitempty" doc:"of the session's key"`
	LastHeard time.Time `json:"lastHeard,omitzero"`

	Commanded   wire.Action `json:"commanded,omitempty" doc:"the last command that was sent"`
	CommandedAt time.Time   `json:"commandedAt,omitzero"`
	Known       bool        `json:"known" doc:"false before the first reading, after a lost receipt, and once a pulse should be over until the device has said so: unknown is not locked"`
	State       *State      `json:"state,omitempty" doc:"as last acknowledged or read"`
	StateAt     time.Time   `json:"stateAt,omitzero"`

	MaxPulse  uint32            `json:"maxPulse,omitempty" doc:"ms that a lock holds an unlock at the most, as it said; left out if it did not"`
	LateScans *doctor.LateScans `json:"lateScans,omitempty" doc:"scans that came too late to be decided, if there were any"`

	Reports []Reading       `json:"reports,omitempty" doc:"the last of each"`
	Refused *doctor.Refusal `json:"refused,omitempty" doc:"the last request that was refused, since the gateway's start"`
}

// State is what an actuator says of itself.
type State struct {
	On      bool   `json:"on" doc:"relay or lamp is energised: a lock that is on is unlocked"`
	Level   uint8  `json:"level,omitempty"`
	Contact string `json:"contact,omitempty" doc:"open or closed"`
	Left    uint32 `json:"left,omitempty" doc:"ms until a pulse ends by itself"`
}

// Reading is one reported value: a number, a text or a truth value.
type Reading struct {
	Name  string    `json:"name"`
	Unit  string    `json:"unit,omitempty"`
	Value any       `json:"value"`
	At    time.Time `json:"at"`
	Late  bool      `json:"late,omitempty" doc:"it came too late to count as the present state"`
}

// Order asks for a target to be moved.
type Order struct {
	Target string `json:"target" doc:"name or id"`
	Action string `json:"action" enum:"unlock,lock,on,off,toggle,level"`
	Level  uint8  `json:"level,omitempty" maximum:"100" doc:"for the action level"`
}

// Status is the gateway at work.
type Status struct {
	Version  string         `json:"version"`
	Time     Time           `json:"time"`
	Lockdown bool           `json:"lockdown"`
	Devices  []DeviceStatus `json:"devices"`
	Doors    []Target       `json:"doors" doc:"by name, with what each is now"`
	Alarms   []Alarm        `json:"alarms" doc:"that nobody has acknowledged, oldest first"`
}

// Health is whether the gateway can do its work.
type Health struct {
	Status  string `json:"status" doc:"ok"`
	Gateway bool   `json:"gateway" doc:"false when only the data folder is open"`
	Version string `json:"version"`
}

func (a *api) liveRoutes() {
	orders := []demandCase{{"unlock", toUnlock}, {"lock", toLock}, {"on", toSwitch}, {"off", toSwitch},
		{"toggle", toSwitch}, {"level", toSwitch}}
	handleCases(a, orders, "action", func(in *struct{ Body Order }) any { return in.Body.Action },
		http.MethodPost, "/v1/operate", "operate", "Move a target now, as an operator",
		func(ctx context.Context, in *struct{ Body Order }) (*body[Operated], error) {
			return answer(a.operate(ctx, in.Body, arrived(ctx)))
		})
	handle(a, toLook, http.MethodGet, "/v1/status", "get-status",
		"What the running gateway knows of its devices",
		func(context.Context, *struct{}) (*body[Status], error) {
			return answer(a.status())
		})
	handle(a, toLook, http.MethodGet, "/healthz", "get-health",
		"Whether a card that may enter would be let in now. A lockdown is meant, and is no illness",
		func(context.Context, *struct{}) (*body[Health], error) {
			if a.Health != nil {
				if found := a.Health(); len(found) > 0 {
					return nil, unavailable{errors.New(sick(found))}
				}
			}
			return answer(Health{Status: "ok", Gateway: a.Live != nil, Version: a.Version}, nil)
		})
}

// sick says in a sentence why a card that may enter would not be let in.
func sick(found []doctor.Finding) string {
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.Text
	}
	return strings.Join(texts, "; ")
}

func (a *api) operate(ctx context.Context, in Order, at time.Time) (Operated, error) {
	if a.Live == nil {
		return Operated{}, ErrNoGateway
	}
	t, err := findTarget(a.Store.Snapshot(), in.Target)
	if err != nil {
		return Operated{}, err
	}
	action, err := parseAction(in.Action)
	if err != nil {
		return Operated{}, err
	}
	if !t.Kind.Fits(action) {
		return Operated{}, fmt.Errorf("%s is a %s: %w: %v does not fit it", t.Name, t.Kind, access.ErrInvalid,
			action)
	}
	done, err := a.Live.Operate(ctx, actorOf(ctx), t.ID, action, in.Level, at)
	if holds := time.Duration(done.Holds) * time.Millisecond; holds > 0 && holds+pulseSlack < t.Pulse {
		done.Note = fmt.Sprintf("its lock lets go after %v, not %v: it holds no longer",
			holds.Round(pulseSlack/5), t.Pulse)
	}
	return done, err
}

// pulseSlack is by how much less than the pulse a lock may name as what is left of it, since its
// answer takes time.
const pulseSlack = 500 * time.Millisecond

func (a *api) status() (Status, error) {
	if a.Live == nil {
		return Status{}, ErrNoGateway
	}
	now, site := a.Now(), a.Store.Snapshot().Site
	trusted, why := a.Live.ClockTrusted(now)
	s := Status{Version: a.Version, Lockdown: site.Lockdown, Devices: a.Live.Status(),
		Alarms: a.Live.Alarms(),
		Time:   Time{Now: now.UTC(), Zone: site.Zone, Trusted: trusted, Why: why}}
	p := a.Store.Snapshot()
	s.Doors = slices.DeleteFunc(viewAll(p, p.Targets, a.viewTargets(),
		func(t Target) string { return t.Name }),
		func(t Target) bool { return t.State == nil })
	if s.Devices == nil {
		s.Devices = []DeviceStatus{}
	}
	return s, nil
}
