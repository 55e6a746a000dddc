package page

import (
	"encoding/base64"
	"html/template"
	"strings"

	"rsc.io/qr"

	"latchkey/gateway/admin/api"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// Bundle is everything that must be installed on a device.
type Bundle struct {
	api.Enrolled
	Code  template.URL // the QR code of the JSON form
	Forms []Form
}

// Form is one form of a bundle.
type Form struct{ Name, What, Text string }

// NewBundle makes the bundle of a new key.
func NewBundle(got api.Enrolled) (Bundle, error) {
	secret, err := keys.ParseSecret(got.Bundle.Secret)
	if err != nil {
		return Bundle{}, err
	}
	b := provision.Bundle{Device: got.Bundle.Device, Kind: got.Bundle.Kind, Targets: got.Bundle.Targets,
		Gateway: got.Bundle.Gateway, Identity: got.Bundle.Identity, Secret: secret}
	p := Bundle{Enrolled: got}
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
		p.Forms = append(p.Forms, Form{string(f.format), f.what, out.String()})
		if f.format == provision.JSON {
			code, err := qr.Encode(strings.TrimSpace(out.String()), qr.L)
			if err != nil {
				continue // too long for one
			}
			p.Code = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()))
		}
	}
	return p, nil
}
