package record

import "latchkey/gateway/access"

const (
	kindSite     = 's'
	SiteKey  Key = "s"
)

type siteRecord struct {
	Zone        string `cbor:"1,keyasint"`
	Lockdown    bool   `cbor:"2,keyasint,omitempty"`
	TimeTrusted uint64 `cbor:"3,keyasint,omitempty"`
}

var siteCodec = &codec[access.Site, siteRecord]{
	kind:   access.Sites,
	letter: kindSite,
	id:     func(access.Site) string { return "" },
	pack:   func(r access.Site) siteRecord { return siteRecord{r.Zone, r.Lockdown, r.TimeTrusted} },
	unpack: func(_ string, s siteRecord) (access.Site, error) {
		return access.Site{Zone: s.Zone, Lockdown: s.Lockdown, TimeTrusted: s.TimeTrusted}, nil
	},
}
