package coapres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

const (
	// Lifetime is what our nodes ask for, and what a node gets that asks for nothing. A node
	// updates its registration each time a third of it has passed.
	Lifetime    = 90 * time.Second
	maxLifetime = 24 * time.Hour
)

// register serves the registration of a node (RFC 9176 §5). Its links never choose what we call.
// They are for people, except for the limit of its pulses and whether it knows epochs.
func (s *Server) register(_ context.Context, r *request) (response, error) {
	lifetime, err := registrationQuery(r, Lifetime)
	if err != nil {
		return response{}, err
	}
	p := r.peer
	p.mu.Lock()
	if p.registration == "" {
		p.registration = keys.Random(4)
	}
	p.lifetime = lifetime
	p.maxPulse, p.knowsEpoch = parseActLink(string(r.body))
	location := "rd/" + p.registration
	p.mu.Unlock()
	s.Calls.Registered(p, lifetime)
	return response{code: codes.Created, location: location}, nil
}

// renew serves the update of a registration (RFC 9176 §5.3.1). An update leaves unchanged what it
// does not name.
func (s *Server) renew(_ context.Context, r *request) (response, error) {
	p := r.peer
	lifetime, ok := p.registered(r.param)
	lifetime, err := registrationQuery(r, lifetime)
	switch {
	case err != nil:
		return response{}, err
	case !ok:
		return response{}, ErrNotFound
	}
	p.mu.Lock()
	p.lifetime = lifetime
	p.mu.Unlock()
	s.Calls.Registered(p, lifetime)
	return response{code: codes.Changed}, nil
}

// leave serves the removal of a registration (RFC 9176 §5.3.2).
func (s *Server) leave(_ context.Context, r *request) (response, error) {
	if err := r.checkFresh(0); err != nil {
		return response{}, err
	}
	p := r.peer
	if _, ok := p.registered(r.param); !ok {
		return response{}, ErrNotFound
	}
	p.mu.Lock()
	p.registration = ""
	p.mu.Unlock()
	s.Calls.Left(p)
	return response{code: codes.Deleted}, nil
}

// registered returns the lifetime of the registration with that id, if it is the peer's.
func (p *Peer) registered(id string) (lifetime time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lifetime, p.registration != "" && p.registration == id
}

// registrationQuery returns the lifetime that the query asks for, or the given one. It skips
// unknown parameters, such as base and attributes of the endpoint (RFC 9176 §5), so that later
// nodes may send more.
func registrationQuery(r *request, lifetime time.Duration) (time.Duration, error) {
	if !utf8.Valid(r.body) {
		return 0, errLinks
	}
	seen := map[string]bool{}
	for _, q := range queries(r) {
		name, value, _ := strings.Cut(q, "=")
		if name != "ep" && name != "lt" {
			continue
		}
		if seen[name] {
			return 0, errQuery
		}
		seen[name] = true
		switch name {
		case "ep":
			if value != r.peer.Name {
				return 0, errOtherName
			}
		case "lt": // seconds, 1…4294967295
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return 0, errQuery
			}
			lifetime = min(time.Duration(n)*time.Second, maxLifetime)
		}
	}
	return lifetime, nil
}

func queries(r *request) []string {
	q, err := r.msg.Queries()
	if err != nil {
		return nil // none
	}
	return q
}

// core serves RFC 6690: the links that this node may call, filtered by one query.
func (s *Server) core(_ context.Context, r *request) (response, error) {
	var out []string
	for _, l := range linksFor(r.peer.Kind, s.Calls.Targets(r.peer)) {
		keep := true
		for _, q := range queries(r) {
			keep = keep && l.fits(q)
		}
		if keep {
			out = append(out, l.String())
		}
	}
	b := []byte(strings.Join(out, ","))
	for len(b) > wire.MaxReport { // more targets than fit: whole links only
		out = out[:len(out)-1]
		b = []byte(strings.Join(out, ","))
	}
	return response{code: codes.Content, format: LinkFormat, body: b}, nil
}

// link is one line of /.well-known/core.
type link struct {
	href, rt, iface string
	ct              []wire.Format
}

func (l link) String() string {
	s := "</" + l.href + ">"
	if l.rt != "" {
		s += `;rt="` + l.rt + `"`
	}
	if l.iface != "" {
		s += `;if="` + l.iface + `"`
	}
	if len(l.ct) > 0 {
		n := make([]string, len(l.ct))
		for i, f := range l.ct {
			n[i] = strconv.Itoa(int(f))
		}
		s += `;ct="` + strings.Join(n, " ") + `"`
	}
	return s
}

// fits tells whether the link passes a filter name=value, where a value may end in * (RFC 6690
// §4.1).
func (l link) fits(query string) bool {
	name, value, _ := strings.Cut(query, "=")
	have := map[string]string{"href": "/" + l.href, "rt": l.rt, "if": l.iface}[name]
	if have == "" {
		return false // a link without the attribute fits no filter on it, not even an empty one
	}
	if prefix, wild := strings.CutSuffix(value, "*"); wild {
		return strings.HasPrefix(have, prefix)
	}
	return have == value
}

func linksFor(k keys.Kind, targets []string) []link {
	all := []link{{"rd", "core.rd", "", []wire.Format{LinkFormat}}, {"report", "latchkey.report", "",
		senml[:2]}}
	if slices.Contains(readers, k) {
		all = append(all, link{"scan", "latchkey.scan", "", plain})
	}
	if slices.Contains(buttons, k) {
		for _, t := range targets {
			all = append(all, link{"act/" + t, "latchkey.act", "core.a", plain})
		}
	}
	return all
}

// Registration is what a peer keeps of a node's registration.
type Registration struct {
	ID       string // the segment after /rd/; empty when not registered
	Lifetime time.Duration
	MaxPulse time.Duration // see [Peer.MaxPulse]
	Epoch    bool          // see [Peer.KnowsEpoch]
}

// Registration returns the peer's registration.
func (p *Peer) Registration() Registration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Registration{p.registration, p.lifetime, p.maxPulse, p.knowsEpoch}
}

// Restore sets the registration of a node whose session goes on from an earlier process. Call it
// before the first request.
func (p *Peer) Restore(r Registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registration, p.lifetime, p.maxPulse, p.knowsEpoch = r.ID, r.Lifetime, r.MaxPulse, r.Epoch
}
