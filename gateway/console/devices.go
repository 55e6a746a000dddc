package console

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
	"latchkey/gateway/doctor"
	"latchkey/keys"
	"latchkey/keys/provision"
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

// bundlePage is everything that must be installed on a device. It is the answer to the form that
// added the device, and cannot be shown again.
type bundlePage struct {
	api.Enrolled
	Code  template.URL // the QR code of the JSON form
	Forms []form
}

type form struct{ Name, What, Text string }

func (v *visit) showBundle(got api.Enrolled) error {
	secret, err := keys.ParseSecret(got.Bundle.Secret)
	if err != nil {
		return err
	}
	b := provision.Bundle{Device: got.Bundle.Device, Kind: got.Bundle.Kind, Targets: got.Bundle.Targets,
		Gateway: got.Bundle.Gateway, Identity: got.Bundle.Identity, Secret: secret}
	p := bundlePage{Enrolled: got}
	for _, f := range []struct {
		format provision.Format
		what   string
	}{{provision.JSON, "for latchkey simulate, and for tools"},
		{provision.CHeader, "for firmware that is built with its key"},
		{provision.NVSCSV, "for ESP-IDF's partition generator"},
		{provision.CoAPClient, "to play it with libcoap"}} {
		var out strings.Builder
		if err := b.Write(&out, f.format); err != nil {
			continue // not every kind has every form
		}
		p.Forms = append(p.Forms, form{string(f.format), f.what, out.String()})
		if f.format == provision.JSON {
			code, err := qr.Encode(strings.TrimSpace(out.String()), qr.L)
			if err != nil {
				continue // too long for one
			}
			p.Code = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()))
		}
	}
	return v.showPage(http.StatusOK, "bundle", p)
}

type devicePage struct {
	page.Device
	Grants   []api.Grant
	Grant    grantForm
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
		if p.Grant, err = v.makeGrantForm(groups); err != nil {
			return err
		}
		p.Grant.Subject = "device/" + string(d.ID)
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
	return v.reportDone(addressOf("/devices/", v.r.PathValue("device")), "%s", describeChanges(done))
}

func (v *visit) removeDevice() error {
	done, err := call(v, api.RemoveDevice, v.readRef("device"))
	if err != nil {
		return v.showAgain(err, (*visit).showDevice)
	}
	return v.reportDone("/devices", "%s", describeChanges(done))
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
	return v.reportDone("/devices", "%s", describeChanges(done))
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
