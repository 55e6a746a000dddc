package console

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/console/page"
	"latchkey/keys"
)

type home struct {
	Doors, Lamps []page.Card
	Local        bool
	Sick         string // why a valid card would not be let in; empty if it would
}

func (v *visit) showHome() error {
	cards, err := v.listCards()
	if err != nil {
		return err
	}
	h := home{Local: v.session.Local}
	if _, h.Sick, err = v.askHealth(); err != nil {
		return err
	}
	for _, c := range cards {
		if c.Kind == string(access.Door) {
			h.Doors = append(h.Doors, c)
		} else {
			h.Lamps = append(h.Lamps, c)
		}
	}
	return v.showPage(v.chooseStatus(), "home", h)
}

func (v *visit) listCards() ([]page.Card, error) {
	targets, err := list(v, api.ListTargets, api.ListQuery{})
	if err != nil {
		return nil, err
	}
	devices, err := list(v, api.ListDevices, api.ListQuery{})
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
	cards := make([]page.Card, 0, len(targets))
	for _, t := range targets {
		cards = append(cards, page.NewCard(t, live[t.Actuator.ID], readers[t.ID]))
	}
	return cards, nil
}

// acknowledgeAlarm ends an alarm in the name of the account that is signed in.
func (v *visit) acknowledgeAlarm() error {
	seq, err := strconv.ParseUint(v.r.PathValue("alarm"), 10, 64)
	if err != nil {
		return v.showAgain(newProblem(http.StatusUnprocessableEntity, "An alarm is named by its number."),
			(*visit).showHome)
	}
	a, err := call(v, api.AcknowledgeAlarm, api.AlarmInput{Seq: seq,
		Body: api.Acknowledgement{Remark: v.readField("remark")}})
	if err != nil {
		return v.showAgain(err, (*visit).showHome)
	}
	place := cmp.Or(a.Target.Name, a.Device.Name, "this store:")
	return v.reportDone("/", "You have acknowledged the alarm: %s %s.", place, a.Words)
}

func (v *visit) operateLamp() error {
	order := api.Order{Target: v.r.PathValue("target"), Action: v.readField("action")}
	if level := v.readField("level"); order.Action == "level" {
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
	return v.reportDoneAtCard(t.ID, text)
}

// outcome returns the result of an order in words, and whether it was done.
func outcome(t api.Target, order api.Order, got api.Operated) (string, bool) {
	what := map[string]string{"unlock": "unlocked", "lock": "locked", "on": "switched on",
		"off": "switched off", "toggle": "switched",
		"level": fmt.Sprintf("set to %d %%", order.Level)}[order.Action]
	if !got.Granted {
		why := map[access.Reason]string{access.ReasonLockdown: "there is a lockdown"}[got.Reason]
		return fmt.Sprintf("%s was not %s: %s", t.Name, what, cmp.Or(why, string(got.Reason))), false
	}
	switch got.Outcome {
	case audit.OutcomeDone:
		said := fmt.Sprintf("%s is %s.", t.Name, what)
		if got.Note != "" {
			said += " " + page.Sentence(got.Note)
		}
		return said, true
	case audit.OutcomeRefused:
		return fmt.Sprintf("%s was not %s: its device refused", t.Name, what), false
	case audit.OutcomeOffline:
		return fmt.Sprintf("%s was not %s: its device is offline. See Devices", t.Name, what), false
	case audit.OutcomeLate:
		return fmt.Sprintf("%s was not %s: it took too long until the command could be sent", t.Name, what),
			false
	}
	return fmt.Sprintf("It is not known whether %s was %s: its device did not answer", t.Name, what), false
}

func (v *visit) startLockdown() error {
	return v.setLockdown(true, "Lockdown: every door stays shut, for everybody.")
}

func (v *visit) endLockdown() error { return v.setLockdown(false, "The lockdown is over.") }

func (v *visit) setLockdown(on bool, text string) error {
	if _, err := call(v, api.SetLockdown, api.With(api.Lockdown{On: on})); err != nil {
		return v.showAgain(err, (*visit).showHome)
	}
	return v.reportDone("/", "%s", text)
}
