package console

import (
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
	"latchkey/gateway/doctor"
	"latchkey/keys"
)

type devicesPage struct {
	Devices []page.Device
	Targets []api.Target
	Kinds   []keys.Kind
}

func (v *visit) showDevices() error {
	p := devicesPage{Kinds: keys.Kinds}
	devices, err := list(v, api.ListDevices, api.ListQuery{})
	if err != nil {
		return err
	}
	for _, d := range devices {
		p.Devices = append(p.Devices, page.NewDevice(d))
	}
	if p.Targets, err = list(v, api.ListTargets, api.ListQuery{}); err != nil {
		return err
	}
	return v.showPage(v.chooseStatus(), "devices", p)
}

func (v *visit) addDevice() error {
	in := api.NewDevice{Name: v.readField("name"), Kind: v.readField("kind"), Gateway: v.readField("gateway")}
	for _, t := range v.r.PostForm["target"] {
		if t != "" {
			in.Targets = append(in.Targets, t)
		}
	}
	got, err := call(v, api.AddDevice, api.With(in))
	if err != nil {
		return v.showAgain(err, (*visit).showDevices)
	}
	return v.showBundle(got)
}

// showBundle shows what must be installed on a device. It is the answer to the form that added the
// device, and cannot be shown again.
func (v *visit) showBundle(got api.Enrolled) error {
	p, err := page.NewBundle(got)
	if err != nil {
		return err
	}
	return v.showPage(http.StatusOK, "bundle", p)
}

type devicePage struct {
	page.Device
	Grants   []api.Grant
	Grant    page.GrantForm
	Readings []reading
	Findings []doctor.Finding
}

type reading struct {
	Name, Value string
	At          time.Time
	Late        bool
}

func (v *visit) showDevice() error {
	d, err := call(v, api.GetDevice, v.readRef("device"))
	if err != nil {
		return err
	}
	p := devicePage{Device: page.NewDevice(d)}
	if d.Live != nil {
		for _, r := range d.Live.Reports {
			p.Readings = append(p.Readings, reading{r.Name, page.ValueText(r), r.At, r.Late})
		}
	}
	slices.Reverse(p.Keys)
	sick, err := call(v, api.Diagnose, v.nameDevice())
	if err != nil {
		return err
	}
	p.Findings = sick.Findings
	if d.Kind == string(keys.KindSwitch) {
		v.askEarly(append([]question{ask(api.ListGrants)}, grantQuestions...)...)
		groups, err := list(v, api.ListGroups, api.ListQuery{})
		if err != nil {
			return err
		}
		if p.Grant, err = v.makeGrantForm("device/"+string(d.ID), groups); err != nil {
			return err
		}
		grants, err := list(v, api.ListGrants, api.GrantFilter{})
		if err != nil {
			return err
		}
		for _, g := range grants {
			if g.Device.ID == d.ID {
				p.Grants = append(p.Grants, g)
			}
		}
	}
	return v.showPage(v.chooseStatus(), "device", p)
}

// nameDevice returns the doctor's input for the device in the address.
func (v *visit) nameDevice() api.DoctorInput {
	return api.DoctorInput{Device: v.r.PathValue("device")}
}

func (v *visit) rekeyDevice() error {
	in := api.NewKey{Gateway: v.readField("gateway")}
	got, err := call(v, api.RekeyDevice, api.AtWith(v.r.PathValue("device"), in))
	if err != nil {
		return v.showAgain(err, (*visit).showDevice)
	}
	return v.showBundle(got)
}

func (v *visit) revokeDevice() error {
	done, err := call(v, api.RevokeDevice, v.readRef("device"))
	if err != nil {
		return v.showAgain(err, (*visit).showDevice)
	}
	return v.reportDone(addressOf("/devices/", v.r.PathValue("device")), "%s", page.DescribeChanges(done))
}

func (v *visit) removeDevice() error {
	done, err := call(v, api.RemoveDevice, v.readRef("device"))
	if err != nil {
		return v.showAgain(err, (*visit).showDevice)
	}
	return v.reportDone("/devices", "%s", page.DescribeChanges(done))
}

type targetPage struct {
	api.Target
	Devices []api.Device
	Grants  []api.Grant
}

// Tone returns the colour of a door's state: red for an alarm, green for locked.
func (p targetPage) Tone() string {
	if p.State == nil {
		return ""
	}
	return page.DoorTone(p.State.Headline)
}

func (v *visit) showTarget() error {
	target, err := call(v, api.GetTarget, v.readRef("target"))
	if err != nil {
		return err
	}
	p := targetPage{Target: target}
	devices, err := list(v, api.ListDevices, api.ListQuery{})
	if err != nil {
		return err
	}
	for _, d := range devices {
		if slices.ContainsFunc(d.Targets, func(t api.Ref) bool { return t.ID == p.ID }) {
			p.Devices = append(p.Devices, d)
		}
	}
	groups, err := list(v, api.ListGroups, api.ListQuery{})
	if err != nil {
		return err
	}
	in := map[access.ID]bool{}
	for _, g := range groups {
		if g.Of == string(access.OfTargets) && slices.ContainsFunc(g.Members,
			func(m api.Ref) bool { return m.ID == p.ID }) {
			in[g.ID] = true
		}
	}
	grants, err := list(v, api.ListGrants, api.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Target.ID == p.ID || in[g.TargetGroup.ID] {
			p.Grants = append(p.Grants, g)
		}
	}
	return v.showPage(v.chooseStatus(), "target", p)
}

func (v *visit) addTarget() error {
	in := api.NewTarget{Name: v.readField("name"), Kind: v.readField("kind")}
	if in.Kind == string(access.Door) {
		in.Pulse = v.readField("pulse")
	}
	t, err := call(v, api.AddTarget, api.With(in))
	if err != nil {
		return v.showAgain(err, (*visit).showDevices)
	}
	return v.reportDone("/devices", "%s %s is here now. Add the device that moves it.",
		page.Capital(t.Kind), t.Name)
}

func (v *visit) changeTarget() error {
	change := api.TargetChange{Name: v.readField("name"), Pulse: v.readField("pulse")}
	if _, err := call(v, api.ChangeTarget, api.AtWith(v.r.PathValue("target"), change)); err != nil {
		return v.showAgain(err, (*visit).showTarget)
	}
	return v.reportDone("/devices", "Saved.")
}

func (v *visit) removeTarget() error {
	done, err := call(v, api.RemoveTarget, v.readRef("target"))
	if err != nil {
		return v.showAgain(err, (*visit).showTarget)
	}
	return v.reportDone("/devices", "%s", page.DescribeChanges(done))
}

// listDevicesOf returns the devices of a kind.
func (v *visit) listDevicesOf(kind string) (of []api.Device, err error) {
	all, err := list(v, api.ListDevices, api.ListQuery{})
	for _, d := range all {
		if d.Kind == kind {
			of = append(of, d)
		}
	}
	return of, err
}
