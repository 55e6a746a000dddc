package console

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/door"
	"latchkey/keys"
)

// card is a door or a lamp on the first page. What was commanded, what was acknowledged and what is
// sensed are three things.
type card struct {
	api.Target
	Status *api.DeviceStatus // of the device that moves it; nil when there is none, or nothing was ever heard of it
	Reader *api.DeviceStatus // of a door's reader
	Word   string            // what it is now, in words: locked, unlocked, on, off, unknown
	Tone   string            // good, open, bad, off or unknown, for its colour
}

// Again is in how many milliseconds it is worth looking again, because something ends by itself; 0:
// nothing does.
func (c card) Again(now time.Time) int64 {
	switch {
	case c.State == nil:
		return 0
	case c.State.Now == door.Unlocked && !c.State.Until.IsZero():
		return max(c.State.Until.Sub(now).Milliseconds(), 0) + 200 // the lock is asked at the end of its pulse
	case c.State.Now == door.Unlocked, c.State.Now == door.Unlocking, c.State.Now == door.Unconfirmed:
		return 1000
	case c.State.Now == door.Open, c.State.Headline.Alarm():
		return 3000 // a contact that moves makes no event
	}
	return 0
}

// Online tells whether it can be moved now.
func (c card) Online() bool { return c.Status != nil && c.Status.Online }

// Level is a lamp's, in percent.
func (c card) Level() int {
	switch {
	case c.Status == nil || c.Status.State == nil || !c.Status.State.On:
		return 0
	case c.Status.State.Level == 0:
		return 100
	}
	return int(c.Status.State.Level)
}

// Commanded is the last command in words.
func (c card) Commanded() string {
	if c.Status == nil || c.Status.Commanded == 0 {
		return ""
	}
	return c.Status.Commanded.String()
}

// Opens is how long an unlock lasts: no longer than the lock holds, if it has said how long that
// is.
func (c card) Opens() string {
	pulse, err := time.ParseDuration(c.Pulse)
	limit, unknown := time.ParseDuration(c.MaxPulse)
	if err == nil && unknown == nil && limit < pulse {
		return c.MaxPulse
	}
	return c.Pulse
}

// Said is what its device acknowledged last, or said when it was asked.
func (c card) Said() string {
	switch {
	case c.Status == nil || !c.Status.Known || c.Status.State == nil:
		return ""
	case c.State == nil:
		return c.Word
	case c.Status.State.On:
		return "unlocked"
	}
	return "locked"
}

// Left is how long an unlocked door stays so, when that is known.
func (c card) Left(now time.Time) string {
	if c.State == nil || c.State.Headline != door.Unlocked || c.State.Until.IsZero() {
		return ""
	}
	return fmt.Sprintf("%.0f s", max(c.State.Until.Sub(now), 0).Seconds())
}

// Contact is what the door's sensor says: open or closed, empty when that is not known.
func (c card) Contact() string {
	if c.Status == nil || !c.Status.Known || c.Status.State == nil {
		return ""
	}
	return c.Status.State.Contact
}

type home struct {
	Doors, Lamps []card
	Local        bool
	Sick         string // why a card that may enter would not be let in; empty when it would
}

func (v *visit) showHome() error {
	cards, err := v.cards()
	if err != nil {
		return err
	}
	h := home{Local: v.session.Local}
	if _, h.Sick, err = v.healthz(); err != nil {
		return err
	}
	for _, c := range cards {
		if c.Kind == string(access.Door) {
			h.Doors = append(h.Doors, c)
		} else {
			h.Lamps = append(h.Lamps, c)
		}
	}
	return v.show(v.status(), "home", h)
}

func (v *visit) cards() ([]card, error) {
	targets, err := list(v, api.ListTargets, api.Nothing{})
	if err != nil {
		return nil, err
	}
	devices, err := list(v, api.ListDevices, api.Nothing{})
	if err != nil {
		return nil, err
	}
	live := map[access.ID]*api.DeviceStatus{}
	readers := map[access.ID]*api.DeviceStatus{}
	for _, d := range devices {
		live[d.ID] = d.Live
		if d.Kind == string(keys.KindReader) && d.Live != nil && len(d.Targets) == 1 {
			if r := readers[d.Targets[0].ID]; r == nil || !r.Online {
				readers[d.Targets[0].ID] = d.Live
			}
		}
	}
	cards := make([]card, 0, len(targets))
	for _, t := range targets {
		c := card{Target: t, Status: live[t.Actuator.ID], Reader: readers[t.ID]}
		c.Word, c.Tone = stateOf(t, c.Status)
		cards = append(cards, c)
	}
	return cards, nil
}

// stateOf is what a target is now. Unknown is not locked.
func stateOf(t api.Target, s *api.DeviceStatus) (word, tone string) {
	switch {
	case t.State != nil:
		return t.State.Words, doorTone(t.State.Headline)
	case s == nil || !s.Known || s.State == nil:
		return "unknown", "unknown"
	case s.State.On && s.State.Level > 0 && s.State.Level < 100:
		return fmt.Sprintf("on, %d %%", s.State.Level), "open"
	case s.State.On:
		return "on", "open"
	}
	return "off", "off"
}

// doorTone is the colour of a door's headline.
func doorTone(h door.Headline) string {
	switch {
	case h.Alarm():
		return "bad"
	case h == door.Locked:
		return "good"
	case h == door.Open, h == door.Unlocked, h == door.Unlocking:
		return "open"
	}
	return "unknown"
}

// acknowledge ends an alarm, by the name of whoever is signed in.
func (v *visit) acknowledge() error {
	seq, err := strconv.ParseUint(v.r.PathValue("alarm"), 10, 64)
	if err != nil {
		return v.showAgain(newProblem(http.StatusUnprocessableEntity, "An alarm is named by its number."),
			(*visit).showHome)
	}
	a, err := call(v, api.AcknowledgeAlarm, api.AlarmInput{Seq: seq,
		Body: api.Acknowledgement{Remark: v.field("remark")}})
	if err != nil {
		return v.showAgain(err, (*visit).showHome)
	}
	return v.done("/", "You have acknowledged the alarm: %s %s.", cmp.Or(a.Target.Name, a.Device.Name),
		a.Words)
}

func (v *visit) operateLamp() error {
	order := api.Order{Target: v.r.PathValue("target"), Action: v.field("action")}
	if level := v.field("level"); order.Action == "level" {
		n, err := strconv.ParseUint(level, 10, 8)
		if err != nil || n > 100 {
			return v.showAgain(newProblem(http.StatusUnprocessableEntity,
				"The level is a number from 0 to 100."), (*visit).showHome)
		}
		order.Level = uint8(n)
	}
	switch order.Action {
	case "on", "off", "toggle", "level":
		return v.operate(order)
	}
	return v.showAgain(newProblem(http.StatusUnprocessableEntity,
		"A lamp can be switched on, off or to a level."), (*visit).showHome)
}

func (v *visit) unlockDoor() error {
	return v.operate(api.Order{Target: v.r.PathValue("target"), Action: "unlock"})
}

func (v *visit) lockDoor() error {
	return v.operate(api.Order{Target: v.r.PathValue("target"), Action: "lock"})
}

func (v *visit) operate(order api.Order) error {
	t, err := call(v, api.GetTarget, api.At(order.Target))
	if err != nil {
		return v.showAgain(err, (*visit).showHome)
	}
	order.Target, v.where = string(t.ID), string(t.ID)
	got, err := call(v, api.Operate, api.With(order))
	if err != nil {
		return v.showAgain(err, (*visit).showHome)
	}
	text, ok := outcome(t, order, got)
	if !ok {
		return v.showAgain(newProblem(http.StatusConflict, text), (*visit).showHome)
	}
	return v.doneAt(t.ID, text)
}

// outcome says what came of an order, and whether it was done.
func outcome(t api.Target, order api.Order, got api.Operated) (string, bool) {
	what := map[string]string{"unlock": "unlocked", "lock": "locked", "on": "switched on",
		"off": "switched off", "toggle": "switched",
		"level": fmt.Sprintf("set to %d %%", order.Level)}[order.Action]
	if !got.Granted {
		why := map[access.Reason]string{access.ReasonLockdown: "there is a lockdown"}[got.Reason]
		return fmt.Sprintf("%s was not %s: %s", t.Name, what, cmp.Or(why, string(got.Reason))), false
	}
	switch got.Outcome {
	case access.OutcomeDone:
		said := fmt.Sprintf("%s is %s.", t.Name, what)
		if got.Note != "" {
			said += " " + sentence(got.Note)
		}
		return said, true
	case access.OutcomeRefused:
		return fmt.Sprintf("%s was not %s: its device refused", t.Name, what), false
	case access.OutcomeOffline:
		return fmt.Sprintf("%s was not %s: its device is offline. See Devices", t.Name, what), false
	case access.OutcomeLate:
		return fmt.Sprintf("%s was not %s: it took too long until the command could be sent", t.Name, what),
			false
	}
	return fmt.Sprintf("It is not known whether %s was %s: its device did not answer", t.Name, what), false
}

func (v *visit) startLockdown() error {
	return v.lockdown(true, "Lockdown: every door stays shut, for everybody.")
}

func (v *visit) endLockdown() error { return v.lockdown(false, "The lockdown is over.") }

func (v *visit) lockdown(on bool, text string) error {
	if _, err := call(v, api.SetLockdown, api.With(api.Lockdown{On: on})); err != nil {
		return v.showAgain(err, (*visit).showHome)
	}
	return v.done("/", "%s", text)
}
