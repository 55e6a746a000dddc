package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/door"
)

// DoorState is what a door is, of all that the running gateway knows of it.
type DoorState struct {
	Headline door.Headline `json:"headline" doc:"forced, tampered, open, unlocked, unlocking, offline, unknown, unconfirmed (it should be locked, and its lock has not said so yet) or locked"`
	Words    string        `json:"words" doc:"the headline for people"`
	Now      door.Headline `json:"now" doc:"what it is apart from alarms"`
	Until    time.Time     `json:"until,omitzero" doc:"when now is unlocked: the lock lets go by itself"`
	Last     door.Headline `json:"last,omitempty" doc:"when now is offline: what was known last"`
	LastAt   time.Time     `json:"lastAt,omitzero"`
	Alarms   []Alarm       `json:"alarms" doc:"that nobody has acknowledged, oldest first"`

	MaxPulse time.Duration `json:"-"` // as its lock says; 0: it does not say
}

// Alarm is what is wrong at a door until somebody acknowledges it.
type Alarm struct {
	Seq    uint64        `json:"seq" doc:"number of its event; 0: it could not be kept yet"`
	At     time.Time     `json:"at"`
	What   door.Headline `json:"what" doc:"forced or tampered"`
	Words  string        `json:"words" doc:"the same for people"`
	Target Ref           `json:"target,omitzero" doc:"the door; left out of a device that stands at none, or at several"`
	Device Ref           `json:"device" doc:"that reported it"`
	Times  int           `json:"times" doc:"how often it happened, since the gateway's start"`
	Last   time.Time     `json:"last"`
}

// Acknowledgement says that somebody has taken note of an alarm.
type Acknowledgement struct {
	Remark string `json:"remark,omitempty" maxLength:"200" doc:"what it was, for the events"`
}

// AlarmInput names an alarm in the path.
type AlarmInput struct {
	Seq uint64 `path:"seq" doc:"number of its event"`
}

func (a *api) alarmRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/alarms", "list-alarms",
		"Alarms that nobody has acknowledged, oldest first",
		func(context.Context, *struct{}) (*body[list[Alarm]], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			return listOf(a.Live.Alarms()), nil
		})
	handle(a, toLock, http.MethodPost, "/v1/alarms/{seq}/acknowledge", "acknowledge-alarm",
		"Say who has taken note of an alarm, which ends it",
		func(ctx context.Context, in *struct {
			AlarmInput
			Body Acknowledgement
		}) (*body[Alarm], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			return answer(a.Live.Acknowledge(ctx, actorOf(ctx), in.Seq, in.Body.Remark))
		})
}

// viewTargets returns the view of a target, with what the gateway knows of it at this moment.
func (a *api) viewTargets() func(*access.Policy, access.Target) Target {
	return func(p *access.Policy, t access.Target) Target {
		v := viewTarget(p, t)
		if a.Live != nil && t.Kind == access.Door {
			s := a.Live.Door(t.ID)
			v.State = &s
			if s.MaxPulse > 0 {
				v.MaxPulse = s.MaxPulse.String()
			}
		}
		return v
	}
}

// Text is the state in a line for people. when writes a time as they read it.
func (s DoorState) Text(when func(time.Time) string) string {
	if s.Headline != s.Now {
		return s.Words + "; " + s.NowText(when)
	}
	return strings.TrimPrefix(s.NowText(when), "now ")
}

// NowText is what the door is apart from alarms.
func (s DoorState) NowText(when func(time.Time) string) string {
	now := "now " + s.Now.Words()
	switch {
	case s.Now == door.Unlocked && !s.Until.IsZero():
		now += " until " + when(s.Until)
	case s.Now == door.Offline && s.Last != "":
		now += ", last known " + s.Last.Words() + " at " + when(s.LastAt)
	}
	return now
}
