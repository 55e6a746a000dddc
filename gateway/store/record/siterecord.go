package record

import "latchkey/gateway/access"

const (
	kindSite     = 's'
	SiteKey  Key = "s"
)

// siteRecord is the form of version 2. Version 1 has no Epoch, and none is the first.
type siteRecord struct {
	Zone        string `cbor:"1,keyasint"`
	Lockdown    bool   `cbor:"2,keyasint,omitempty"`
	TimeTrusted uint64 `cbor:"3,keyasint,omitempty"`
	Epoch       uint64 `cbor:"4,keyasint,omitempty"`
}

var siteCodec = &codec[access.Site, siteRecord]{
	kind:    access.Sites,
	letter:  kindSite,
	version: 2,
	id:      func(access.Site) string { return "" },
	pack: func(r access.Site) siteRecord {
		return siteRecord{r.Zone, r.Lockdown, r.TimeTrusted, r.Epoch}
	},
	unpack: func(_ string, s siteRecord) (access.Site, error) {
		return access.Site{Zone: s.Zone, Lockdown: s.Lockdown, TimeTrusted: s.TimeTrusted, Epoch: s.Epoch},
			nil
	},
}
