package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

const (
	fullText = "%s: refused %s: the limit of live sessions is reached (%d)"
	fullDo   = "start the gateway with a higher --max-sessions"
)

// reportClaim reports handshakes that failed with an identity of a device.
func (x *examination) reportClaim(f *Failure, d access.Device, online, usable bool) {
	ref := nameDevice(x.Policy, d.ID)
	rekey := "latchkey device rekey " + d.Name + ", and put what that prints into it"
	how := x.how(f)
	switch f.Cause {
	case CauseWrongKey:
		text := "%s: wrong key. Its identity %s came %s, and its key was not proven"
		do := "put the key into it that was printed for this identity, or make a new one: " + rekey
		if online {
			text += ", while the device itself is connected"
			do = "look for a second board with this identity. " +
				"If there is none, somebody is guessing the key, which cannot succeed"
		}
		x.find(string(f.Cause), ref, fmt.Sprintf(text, d.Name, f.Identity, how), do)
	case CauseRevoked:
		do := "if it is to come back: " + rekey
		if usable {
			do = "put its newer key into it; if that is lost: " + rekey
		}
		if online {
			do = "look for an old board of this device and switch it off"
		}
		text := fmt.Sprintf("%s: revoked. Its identity %s, whose key is revoked, came %s",
			d.Name, f.Identity, how)
		x.find(string(f.Cause), ref, text, do)
	case CauseFull:
		x.find(string(f.Cause), ref, fmt.Sprintf(fullText, d.Name, how, x.Handshakes.MaxLive), fullDo)
	default:
		text := fmt.Sprintf("%s: its handshake failed (%s) %s", d.Name, f.Cause, how)
		x.find(string(f.Cause), ref, text, "switch it off and on again")
	}
}

// reportCrowd reports peers that were refused because too many came at once.
func (x *examination) reportCrowd() {
	for _, c := range x.Handshakes.Counts {
		if c.Cause == CauseBusy && c.Count > 0 && x.Now.Sub(c.Last) <= recently {
			x.find(string(c.Cause), audit.Named{},
				fmt.Sprintf("%s since %s, last at %s: too many began at once",
					english.Plural(int(c.Count), "handshake was refused", "handshakes were refused"),
					x.time(x.Handshakes.Since), x.time(c.Last)),
				"if this goes on, find out who floods the network; devices come back by themselves")
		}
	}
}

// reportStranger reports a failure that names no device. If device is not nil, it tells whether the
// failure may be about that device.
func (x *examination) reportStranger(f *Failure, device *access.Device) bool {
	if x.Now.Sub(f.Last) > recently || x.room == 0 {
		return false
	}
	whose, name := "if it is one of yours, ", "NAME"
	if device != nil {
		whose, name = "if it is "+device.Name+", ", device.Name
	}
	how := x.how(f)
	var text, do string
	switch f.Cause {
	case CauseUnknownIdentity:
		f.Near = nearest(x.Policy, f.Identity)
		isDevice := func(n Near) bool { return n.Device.ID == device.ID }
		if x.isMended(f) || device != nil && len(f.Near) > 0 && !slices.ContainsFunc(f.Near, isDevice) {
			return false
		}
		text, do = unknown(f, how, whose, name)
	case CauseNoCommonSuite:
		text = fmt.Sprintf("no common suite. A peer came %s, and offered no cipher suite and curve "+
			"that the gateway accepts, or no extended master secret", how)
		do = whose + "build it with PSK_WITH_AES_128_CCM_8 and extended master secret"
	case CauseFull:
		text, do = fmt.Sprintf(fullText, "a peer", how, x.Handshakes.MaxLive), fullDo
	case CauseMalformed:
		text = fmt.Sprintf("malformed. A peer came %s with a ClientHello that cannot be used", how)
		do = whose + "it must speak DTLS 1.2 and send its ClientHello in one piece"
	default:
		return device != nil // lost packets or a port scanner: not a finding of its own
	}
	x.room--
	x.find(string(f.Cause), audit.Named{}, text, do)
	return true
}

// isMended tells whether every device that may have caused the failure has connected since.
func (x *examination) isMended(f *Failure) bool {
	waits := func(n Near) bool { return !x.findCompleted(n.Device.ID).After(f.Last) }
	return len(f.Near) > 0 && !slices.ContainsFunc(f.Near, waits)
}

func unknown(f *Failure, how, whose, device string) (text, do string) {
	name := `the identity "` + f.Identity + `"`
	if f.Identity == "" {
		name = "no identity"
	}
	text = fmt.Sprintf("unknown identity. A peer came %s with %s, which no device has", how, name)
	switch {
	case f.Identity == SecretShown:
		return fmt.Sprintf("unknown identity. A peer came %s with a secret where its identity should be",
				how),
			whose + "the two are swapped in it, and the secret was sent in the clear: latchkey device rekey " +
				device + " makes another"
	case len(f.Near) == 0:
		return text, whose + "put the identity into it that latchkey device show " + device + " prints"
	case f.Near[0].Device.Name == normalize(f.Identity):
		return text + ": it is a device's name", fmt.Sprintf("put %s into %s as its identity",
			f.Near[len(f.Near)-1].Identity, f.Near[0].Device.Name)
	}
	var near []string
	for _, n := range f.Near {
		near = append(near, fmt.Sprintf("%s of %s", n.Identity, n.Device.Name))
	}
	return text + ": it is nearly " + strings.Join(near, " or "),
		"correct the identity in " + f.Near[0].Device.Name
}

// how says how often a failure came, when it came last, and from where.
func (x *examination) how(f *Failure) string {
	if f.Count == 1 {
		return fmt.Sprintf("once, at %s from %s", x.time(f.Last), f.Addr)
	}
	return fmt.Sprintf("%d times, last at %s from %s", f.Count, x.time(f.Last), f.Addr)
}
