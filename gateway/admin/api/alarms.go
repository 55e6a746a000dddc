package api

import (
	"net/http"
	"strings"
	"time"

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

// AlarmInput names an alarm in the path, and says what it was.
type AlarmInput struct {
	Seq  uint64 `path:"seq" doc:"number of its event"`
	Body Acknowledgement
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

// Operations on alarms.
var (
	ListAlarms = declare[ListQuery, List[Alarm]](toLook, http.MethodGet, "/v1/alarms", "list-alarms",
		"Alarms that nobody has acknowledged, oldest first")
	AcknowledgeAlarm = declare[AlarmInput, Alarm](toLock,
		http.MethodPost, "/v1/alarms/{seq}/acknowledge", "acknowledge-alarm",
		"Say who has taken note of an alarm, which ends it")
)
