package console

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// deviceRow is a device in a list.
type deviceRow struct {
	api.Device
	Key *api.Key // the newest that opens something; nil: it is revoked
}

// Reading is the last value of a name that the device reported, with its unit; empty when there is
// none.
func (d deviceRow) Reading(name string) string {
	if d.Live == nil {
		return ""
	}
	for _, r := range d.Live.Reports {
		if r.Name == name {
			return valueText(r)
		}
	}
	return ""
}

func valueText(r api.Reading) string {
	switch x := r.Value.(type) {
	case float64:
		return strings.TrimSpace(fmt.Sprintf("%.4g %s", x, r.Unit))
	case bool:
		return map[bool]string{true: "yes", false: "no"}[x]
	}
	return fmt.Sprint(r.Value)
}

func rowOfDevice(d api.Device) deviceRow {
	r := deviceRow{Device: d}
	for i, k := range d.Keys {
		if keys.State(k.State).Usable() {
			r.Key = &d.Keys[i]
		}
	}
	return r
}

type devicesPage struct {
	Devices []deviceRow
	Targets []api.Target
	Kinds   []keys.Kind
}

func (v *visit) showDevices() error {
	p := devicesPage{Kinds: keys.Kinds}
	devices, err := listOf[api.Device](v, "/v1/devices")
	if err != nil {
		return err
	}
	for _, d := range devices {
		p.Devices = append(p.Devices, rowOfDevice(d))
	}
	if p.Targets, err = listOf[api.Target](v, "/v1/targets"); err != nil {
		return err
	}
	return v.show(v.status(), "devices", p)
}

func (v *visit) addDevice() error {
	in := api.NewDevice{Name: v.field("name"), Kind: v.field("kind"), Gateway: v.field("gateway")}
	for _, t := range v.r.PostForm["target"] {
		if t != "" {
			in.Targets = append(in.Targets, t)
		}
	}
	var got api.Enrolled
	if err := v.post("/v1/devices", in, &got); err != nil {
		return v.again(err, (*visit).showDevices)
	}
	return v.showBundle(got)
}

// bundlePage is all that goes into a device. It is the answer to the form that made it and there is
// no other way to see it.
type bundlePage struct {
	api.Enrolled
	Code  template.URL // the picture of the JSON form
	Forms []form
}

type form struct{ Name, What, Text string }

func (v *visit) showBundle(got api.Enrolled) error {
	secret, err := keys.ParseSecret(got.Bundle.Secret)
	if err != nil {
		return err
	}
	b := provision.Bundle{Device: got.Bundle.Device, Kind: got.Bundle.Kind, Targets: got.Bundle.Targets,
		Gateway:  got.Bundle.Gateway,
		Identity: got.Bundle.Identity, Secret: secret}
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
	return v.show(http.StatusOK, "bundle", p)
}

type devicePage struct {
	deviceRow
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
	var d api.Device
	if err := v.get("/v1/devices/"+v.ref("device"), &d); err != nil {
		return err
	}
	p := devicePage{deviceRow: rowOfDevice(d)}
	if d.Live != nil {
		for _, r := range d.Live.Reports {
			p.Readings = append(p.Readings, reading{r.Name, valueText(r), r.At, r.Late})
		}
	}
	slices.Reverse(p.Keys)
	var sick api.Diagnosis
	err := v.get("/v1/doctor?device="+url.QueryEscape(string(d.ID)), &sick)
	if err != nil {
		return err
	}
	p.Findings = sick.Findings
	if d.Kind == string(keys.KindSwitch) {
		if p.Grant, err = v.grantForm(); err != nil {
			return err
		}
		p.Grant.Subject = "device/" + string(d.ID)
		grants, err := listOf[api.Grant](v, "/v1/grants")
		if err != nil {
			return err
		}
		for _, g := range grants {
			if g.Device.ID == d.ID {
				p.Grants = append(p.Grants, g)
			}
		}
	}
	return v.show(v.status(), "device", p)
}

func (v *visit) rekeyDevice() error {
	var got api.Enrolled
	if err := v.post("/v1/devices/"+v.ref("device")+"/keys", api.NewKey{Gateway: v.field("gateway")},
		&got); err != nil {
		return v.again(err, (*visit).showDevice)
	}
	return v.showBundle(got)
}

func (v *visit) revokeDevice() error {
	var done api.Changed
	if err := v.post("/v1/devices/"+v.ref("device")+"/revoke", nil, &done); err != nil {
		return v.again(err, (*visit).showDevice)
	}
	return v.done("/devices/"+v.ref("device"), "%s", changes(done))
}

func (v *visit) removeDevice() error {
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/devices/"+v.ref("device"), nil, &done); err != nil {
		return v.again(err, (*visit).showDevice)
	}
	return v.done("/devices", "%s", changes(done))
}

type targetPage struct {
	api.Target
	Devices []api.Device
	Grants  []api.Grant
}

// Tone is the colour of what a door is now: red for an alarm, green for locked.
func (p targetPage) Tone() string {
	if p.State == nil {
		return ""
	}
	return doorTone(p.State.Headline)
}

func (v *visit) showTarget() error {
	var p targetPage
	if err := v.get("/v1/targets/"+v.ref("target"), &p.Target); err != nil {
		return err
	}
	devices, err := listOf[api.Device](v, "/v1/devices")
	if err != nil {
		return err
	}
	for _, d := range devices {
		if slices.ContainsFunc(d.Targets, func(t api.Ref) bool { return t.ID == p.ID }) {
			p.Devices = append(p.Devices, d)
		}
	}
	groups, err := listOf[api.Group](v, "/v1/groups")
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
	grants, err := listOf[api.Grant](v, "/v1/grants")
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Target.ID == p.ID || in[g.TargetGroup.ID] {
			p.Grants = append(p.Grants, g)
		}
	}
	return v.show(v.status(), "target", p)
}

func (v *visit) addTarget() error {
	in := api.NewTarget{Name: v.field("name"), Kind: v.field("kind")}
	if in.Kind == string(access.Door) {
		in.Pulse = v.field("pulse")
	}
	var t api.Target
	if err := v.post("/v1/targets", in, &t); err != nil {
		return v.again(err, (*visit).showDevices)
	}
	return v.done("/devices", "%s %s is here now. Add the device that moves it.", capital(t.Kind), t.Name)
}

func (v *visit) changeTarget() error {
	change := api.TargetChange{Name: v.field("name"), Pulse: v.field("pulse")}
	if err := v.call(http.MethodPatch, "/v1/targets/"+v.ref("target"), change, nil); err != nil {
		return v.again(err, (*visit).showTarget)
	}
	return v.done("/devices", "Saved.")
}

func (v *visit) removeTarget() error {
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/targets/"+v.ref("target"), nil, &done); err != nil {
		return v.again(err, (*visit).showTarget)
	}
	return v.done("/devices", "%s", changes(done))
}

// devicesOf are the devices of a kind.
func (v *visit) devicesOf(kind string) (of []api.Device, err error) {
	all, err := listOf[api.Device](v, "/v1/devices")
	for _, d := range all {
		if string(d.Kind) == kind {
			of = append(of, d)
		}
	}
	return of, err
}
