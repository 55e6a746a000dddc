package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"latchkey/keys"
)

const (
	MaxBundle  = 4096 // bytes of a bundle as JSON
	MaxTargets = 16
	maxName    = 64
	maxHost    = 63  // characters of the gateway's name: the firmware holds no more
	maxHostDNS = 253 // and in a bundle that was made before there was that limit
)

// DefaultPort is where a gateway listens unless told otherwise: CoAP over DTLS (RFC 7252 §6.2).
const DefaultPort = "5684"

// ErrMalformed is wrapped by all errors about a bundle that is not valid. Their text names the
// field, never a value, because one of the values is the secret.
var ErrMalformed = errors.New("malformed")

// Bundle is all that a device needs to know.
type Bundle struct {
	Device   string // its name
	Kind     keys.Kind
	Targets  []string // names of the targets that it stands at, moves or may ask for
	Gateway  string   // host:port, an IPv6 address in brackets; a host may be a name, as gw.local
	Identity keys.ID
	Secret   keys.Secret
}

func malformed(why string) error { return fmt.Errorf("provision: bundle: %w: %s", ErrMalformed, why) }

// Check returns an error that wraps ErrMalformed if a device could not use b. Names follow the rule
// of the policy: a–z 0–9 . _ -.
func (b Bundle) Check() error { return b.check(maxHost) }

func (b Bundle) check(maxHost int) error {
	if !validName(b.Device) {
		return malformed("device is not a name")
	}
	if !slices.Contains(keys.Kinds, b.Kind) {
		return malformed("kind is unknown")
	}
	if len(b.Targets) > MaxTargets {
		return malformed(fmt.Sprintf("more than %d targets", MaxTargets))
	}
	for i, t := range b.Targets {
		if !validName(t) {
			return malformed("a target is not a name")
		}
		if slices.Contains(b.Targets[:i], t) {
			return malformed("a target is repeated")
		}
	}
	if host, _, err := b.address(); err != nil {
		return err
	} else if len(host) > maxHost {
		return malformed(fmt.Sprintf("the gateway's name has more than %d characters", maxHost))
	}
	if _, err := keys.ParseID(string(b.Identity)); err != nil {
		return malformed("identity is not a key's id")
	}
	if b.Secret.IsZero() {
		return malformed("secret is missing")
	}
	return nil
}

func validName(s string) bool {
	if len(s) < 1 || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	return true
}

// CheckGateway returns an error if addr cannot be a gateway's address: host:port, an IPv6 address
// in brackets.
func CheckGateway(addr string) error {
	host, _, err := Bundle{Gateway: addr}.address()
	if err == nil && len(host) > maxHost {
		err = malformed("the gateway's name is too long")
	}
	return err
}

// AddPort returns addr with the default port if it is an address, or a name with a dot in it, without
// a port.
func AddPort(addr string) string {
	host := strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil || strings.Contains(addr, ".") && !strings.Contains(addr, ":") {
		return net.JoinHostPort(host, DefaultPort)
	}
	return addr
}

// address returns the gateway's host, without brackets, and its port.
func (b Bundle) address() (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(b.Gateway)
	if err != nil {
		return "", 0, malformed("gateway is not host:port")
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
		return "", 0, malformed("the gateway's port is not a number of 1 to 65535")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", 0, malformed("the gateway's address has a zone, which means nothing on another machine")
		}
	} else if !validHost(host) {
		return "", 0, malformed("the gateway's host is neither an address nor a name")
	}
	return host, uint16(n), nil
}

func validHost(s string) bool {
	if len(s) < 1 || len(s) > maxHostDNS {
		return false
	}
	for _, part := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		if len(part) < 1 || len(part) > 63 || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		for i := range len(part) {
			c := part[i]
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return true
}

// ParseBundle reads the JSON form, to the end and at most 4 KB of it. Every member must be there
// once, by its exact name, and nothing else.
func ParseBundle(r io.Reader) (Bundle, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxBundle+1))
	if err != nil {
		return Bundle{}, fmt.Errorf("provision: read bundle: %w", err)
	}
	if len(b) > MaxBundle {
		return Bundle{}, malformed(fmt.Sprintf("over %d bytes", MaxBundle))
	}
	text, targets, err := members(b)
	if err != nil {
		return Bundle{}, err
	}
	secret, err := keys.ParseSecret(text["secret"])
	if err != nil {
		return Bundle{}, malformed("secret is not a secret")
	}
	bundle := Bundle{
		Device:   text["device"],
		Kind:     keys.Kind(text["kind"]),
		Targets:  targets,
		Gateway:  text["gateway"],
		Identity: keys.ID(text["identity"]),
		Secret:   secret,
	}
	if err := bundle.check(maxHostDNS); err != nil {
		return Bundle{}, err
	}
	return bundle, nil
}

// members walks the tokens, because encoding/json accepts repeated names, names in another case and
// null. Errors of encoding/json are not passed on, because they quote the input.
func members(b []byte) (text map[string]string, targets []string, err error) {
	notJSON := malformed("not one JSON object in UTF-8")
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, nil, notJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, notJSON
	}
	text = map[string]string{}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, _ := t.(string)
		if err != nil || !slices.Contains(memberNames, name) {
			return nil, nil, malformed("a member is unknown")
		}
		if seen[name] {
			return nil, nil, malformed(name + " is repeated")
		}
		seen[name] = true
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, nil, notJSON
		}
		ok := false
		if name == "targets" {
			targets, ok = texts(v)
		} else {
			text[name], ok = v.(string)
		}
		if !ok {
			return nil, nil, malformed(name + " is not of its type")
		}
	}
	for _, name := range memberNames {
		if !seen[name] {
			return nil, nil, malformed(name + " is missing")
		}
	}
	return text, targets, nil
}

var memberNames = []string{"device", "kind", "targets", "gateway", "identity", "secret"}

func texts(v any) (out []string, ok bool) {
	list, ok := v.([]any)
	for _, e := range list {
		s, isText := e.(string)
		out, ok = append(out, s), ok && isText
	}
	return out, ok
}
