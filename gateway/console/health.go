package console

import (
	"errors"
	"net/http"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
)

type healthPage struct {
	Health    api.Health
	Sick      string // why nothing can be decided; empty when it can
	Diagnosis api.Diagnosis
	Head      api.Head
	Verified  *api.Verified
	Failed    []doctor.Count // causes that there were
	Latency   api.Latency
	Plot      latencyPlot
	Online    int
	Devices   int
}

func (v *visit) showHealth() error { return v.health(nil) }

func (v *visit) health(verified *api.Verified) error {
	p := healthPage{Verified: verified}
	var err error
	if p.Health, p.Sick, err = v.healthz(); err != nil {
		return err
	}
	if err := v.get("/v1/doctor", &p.Diagnosis); err != nil {
		return err
	}
	if err := v.get("/v1/audit/head", &p.Head); err != nil {
		return err
	}
	if err := v.get("/v1/latency", &p.Latency); err != nil {
		return err
	}
	p.Plot = newLatencyPlot(p.Latency)
	for _, c := range p.Diagnosis.Counts {
		if c.Count > 0 {
			p.Failed = append(p.Failed, c)
		}
	}
	var status api.Status
	if err := v.get("/v1/status", &status); err != nil {
		return err
	}
	for _, d := range status.Devices {
		if d.Online {
			p.Online++
		}
	}
	devices, err := listOf[api.Device](v, "/v1/devices")
	if err != nil {
		return err
	}
	p.Devices = len(devices)
	return v.show(v.status(), "health", p)
}

// healthz asks whether a card that may enter would be let in. sick says why not.
func (v *visit) healthz() (h api.Health, sick string, err error) {
	err = v.get("/healthz", &h)
	if p := (problem{}); errors.As(err, &p) {
		return h, sentence(p.Detail), nil
	}
	return h, "", err
}

// verifyEvents reads the whole chain, or compares it with a head that was kept elsewhere.
func (v *visit) verifyEvents() error {
	var got api.Verified
	if err := v.post("/v1/audit/verify", api.VerifyRequest{Head: clip(v.field("head"))}, &got); err != nil {
		return v.again(err, (*visit).showHealth)
	}
	return v.health(&got)
}

func (v *visit) changeSite() error {
	if err := v.call(http.MethodPatch, "/v1/site", api.SiteChange{Zone: v.field("zone")}, nil); err != nil {
		return v.again(err, (*visit).showHealth)
	}
	return v.done("/health", "Saved.")
}
