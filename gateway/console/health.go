package console

import (
	"errors"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/console/page"
	"latchkey/gateway/doctor"
)

type healthPage struct {
	Health    api.Health
	Sick      string // why no card can be let in; empty if cards can
	Diagnosis api.Diagnosis
	Head      api.Head
	Verified  *api.Verified
	Failed    []doctor.Count // causes of failed handshakes
	Latency   api.Latency
	Plot      page.LatencyPlot
	Online    int
	Devices   int
}

func (v *visit) showHealth() error { return v.health(nil) }

func (v *visit) health(verified *api.Verified) error {
	p := healthPage{Verified: verified}
	var err error
	if p.Health, p.Sick, err = v.askHealth(); err != nil {
		return err
	}
	if p.Diagnosis, err = call(v, api.Diagnose, api.DoctorInput{}); err != nil {
		return err
	}
	if p.Head, err = call(v, api.GetHead, api.Nothing{}); err != nil {
		return err
	}
	if p.Latency, err = call(v, api.GetLatency, api.Nothing{}); err != nil {
		return err
	}
	p.Plot = page.NewLatencyPlot(p.Latency)
	for _, c := range p.Diagnosis.Counts {
		if c.Count > 0 {
			p.Failed = append(p.Failed, c)
		}
	}
	status, err := call(v, api.GetStatus, api.Nothing{})
	if err != nil {
		return err
	}
	for _, d := range status.Devices {
		if d.Online {
			p.Online++
		}
	}
	devices, err := list(v, api.ListDevices, api.ListQuery{})
	if err != nil {
		return err
	}
	p.Devices = len(devices)
	return v.showPage(v.chooseStatus(), "health", p)
}

// askHealth asks whether a valid card would be let in. sick says why not.
func (v *visit) askHealth() (h api.Health, sick string, err error) {
	h, err = call(v, api.GetHealth, api.Nothing{})
	if p := (*client.Problem)(nil); errors.As(err, &p) {
		return h, page.Sentence(p.Detail), nil
	}
	return h, "", err
}

// verifyEvents reads the whole chain, or compares it with a head that was stored elsewhere.
func (v *visit) verifyEvents() error {
	got, err := call(v, api.VerifyEvents, api.With(api.VerifyRequest{Head: clipText(v.readField("head"))}))
	if err != nil {
		return v.showAgain(err, (*visit).showHealth)
	}
	return v.health(&got)
}

func (v *visit) changeSite() error {
	if _, err := call(v, api.ChangeSite, api.With(api.SiteChange{Zone: v.readField("zone")})); err != nil {
		return v.showAgain(err, (*visit).showHealth)
	}
	return v.reportDone("/health", "Saved.")
}
