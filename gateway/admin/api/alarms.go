package api

import (
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/door"
)

// DoorState is the state of a door, from all that the running gateway knows about it.
type DoorState struct {
	Headline door.Headline `json:"headline" doc:"forced, tampered, open, unlocked, unlocking, offline, unknown, unconfirmed (it should be locked, but its lock has not confirmed it yet) or locked"`
	Words    string        `json:"words" doc:"the headline for people"`
	Now      door.Headline `json:"now" doc:"the state without regard to alarms"`
	Until    time.Time     `json:"until,omitzero" doc:"when now is unlocked: the time at which it locks again by itself"`
	Last     door.Headline `json:"last,omitempty" doc:"when now is offline: the last known state"`
	LastAt   time.Time     `json:"lastAt,omitzero"`
	Alarms   []Alarm       `json:"alarms" doc:"alarms that nobody has acknowledged, oldest first"`

	MaxPulse time.Duration `json:"-"` // as its lock says; 0: it does not say
}

// Alarm is a forced door or a tampered device that nobody has acknowledged yet.
type Alarm struct {
	Seq    uint64        `json:"seq" doc:"number of its event; 0: the event could not be stored yet"`
	At     time.Time     `json:"at"`
	What   door.Headline `json:"what" doc:"forced or tampered; rollback in the answer to an acknowledgement of a finding about an older copy of the store"`
	Words  string        `json:"words" doc:"the same for people"`
	Target Ref           `json:"target,omitzero" doc:"the door; left out if the device stands at no door, or at several"`
	Device Ref           `json:"device" doc:"the device that reported it"`
	Times  int           `json:"times" doc:"how often it has happened since the gateway's start"`
	Last   time.Time     `json:"last"`
}

// Rollback is What in the answer to somebody who has acknowledged a finding of package rollback.
const Rollback door.Headline = "rollback"

// Acknowledgement says that somebody has taken note of an alarm.
type Acknowledgement struct {
	Remark string `json:"remark,omitempty" maxLength:"200" doc:"what the cause was; it is written into the event"`
}

// AlarmInput names an alarm in the path. The body says what the cause was.
type AlarmInput struct {
	Seq  uint64 `path:"seq" doc:"number of its event, or of the event of a finding about an older copy of the store"`
	Body Acknowledgement
}

// Text returns the state as one line for people. when formats a time.
func (s DoorState) Text(when func(time.Time) string) string {
	if s.Headline != s.Now {
		return s.Words + "; " + s.NowText(when)
	}
	return strings.TrimPrefix(s.NowText(when), "now ")
}

// NowText returns the state without regard to alarms.
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

// Operations on alarms.
var (
	ListAlarms = declare[ListQuery, List[Alarm]](toLook, http.MethodGet, "/v1/alarms", "list-alarms",
		"List the alarms that nobody has acknowledged, oldest first")
	AcknowledgeAlarm = declare[AlarmInput, Alarm](toLock,
		http.MethodPost, "/v1/alarms/{seq}/acknowledge", "acknowledge-alarm",
		"Acknowledge an alarm, which ends it")
)
