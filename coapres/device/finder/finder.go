// Package finder finds the gateway of a node whose settings give a name, as the firmware's
// core/finder does: the address that worked last first, then those that the name leads to. It
// believes nobody: an address is right when the handshake there proves the key.
package finder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Try is how long the handshake at one address of a name may take.
	Try = 2 * time.Second

	mostFound   = 4 // addresses of a name that are tried in a round
	mostRefused = 8 // addresses that are remembered to be somebody else's
	askAgain    = time.Second
)

var errNone = errors.New("nobody who answers for this name is the gateway")

type phase int

const (
	last phase = iota // the address that worked last is next
	ask               // the name is next
	trying
)

// Finder finds the addresses of one gateway. It is not safe for concurrent use.
type Finder struct {
	gateway string     // "host:port"
	host    string     // "" if the gateway is given by its address
	source  netip.Addr // asked from there, if valid
	port    uint16

	phase   phase
	asked   time.Time
	last    netip.Addr // where the key was proven; invalid: nowhere yet
	trying  netip.Addr
	found   []netip.Addr // not tried yet in this round
	refused []netip.Addr // oldest first
}

// New returns a finder for the gateway at "host:port". It asks from the address source of this
// machine, if that is valid.
func New(gateway string, source netip.Addr) *Finder {
	f := &Finder{gateway: gateway, source: source}
	host, port, err := net.SplitHostPort(gateway)
	if n, perr := strconv.ParseUint(port, 10, 16); err == nil && perr == nil {
		if _, err := netip.ParseAddr(host); err != nil {
			f.host, f.port = host, uint16(n)
		}
	}
	return f
}

// Next returns the address to connect to, "host:port", and how long the handshake there may take, 0
// if it is not for us to say. It may ask the network, at most once a second, and it returns an error
// when no address is left in this round. The next call then begins another round; the caller pauses
// before. After Next comes [Finder.Refuse] or [Finder.Keep].
func (f *Finder) Next(ctx context.Context) (addr string, within time.Duration, err error) {
	f.trying = netip.Addr{}
	if f.host == "" {
		return f.gateway, 0, nil
	}
	if f.phase == last {
		f.phase, f.trying = ask, f.last
	}
	if !f.trying.IsValid() {
		if f.phase == ask {
			if err := f.ask(ctx); err != nil {
				f.phase = last
				return "", 0, fmt.Errorf("finder: %s: %w", f.host, err)
			}
			f.phase = trying
		}
		if f.trying = f.take(); !f.trying.IsValid() {
			f.phase = last
			return "", 0, fmt.Errorf("finder: %s: %w", f.host, errNone)
		}
	}
	return netip.AddrPortFrom(f.trying, f.port).String(), Try, nil
}

// Refuse says that the address did not prove the key: it is the last to be tried from now on.
// Refuse returns whether another address is left in this round, for which no pause is needed.
func (f *Finder) Refuse() (more bool) {
	if f.trying.IsValid() && !slices.Contains(f.refused, f.trying) {
		if len(f.refused) == mostRefused {
			f.refused = slices.Delete(f.refused, 0, 1)
		}
		f.refused = append(f.refused, f.trying)
	}
	if f.trying.IsValid() && (f.phase == ask || len(f.found) > 0) {
		return true
	}
	f.phase = last
	return false
}

// Keep says that the address proved the key: the next round begins with it.
func (f *Finder) Keep() {
	f.phase, f.found = last, nil
	if f.trying.IsValid() {
		f.last = f.trying
		f.refused = slices.DeleteFunc(f.refused, func(a netip.Addr) bool { return a == f.last })
	}
}

// ask asks for the name and fills found.
func (f *Finder) ask(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(f.asked.Add(askAgain))):
	}
	f.asked, f.found = time.Now(), nil
	if isLocal(f.host) {
		return f.askGroup(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, Try)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", f.host)
	slices.SortStableFunc(found, func(a, b netip.Addr) int {
		return cmp.Compare(a.Unmap().BitLen(), b.Unmap().BitLen())
	})
	for _, a := range found { // IPv4 first: that is where nodes are
		f.add(a)
	}
	return err
}

// isLocal tells whether a name is answered by the machine that has it, and not by a server (RFC 6762
// §3).
func isLocal(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return strings.HasSuffix(host, ".local") && len(host) > len(".local")
}

// add adds an address to found. When there is no room, one that was refused before makes room.
func (f *Finder) add(a netip.Addr) {
	a = a.Unmap()
	broadcast := a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || broadcast || a.Is6() && a.IsLinkLocalUnicast() ||
		slices.Contains(f.found, a) {
		return
	}
	if len(f.found) < mostFound {
		f.found = append(f.found, a)
		return
	}
	i := slices.IndexFunc(f.found, f.isRefused)
	if i >= 0 && !f.isRefused(a) {
		f.found[i] = a
	}
}

func (f *Finder) isRefused(a netip.Addr) bool { return slices.Contains(f.refused, a) }

// take removes the next address to try from found, those that were refused last.
func (f *Finder) take() netip.Addr {
	if len(f.found) == 0 {
		return netip.Addr{}
	}
	i := max(0, slices.IndexFunc(f.found, func(a netip.Addr) bool { return !f.isRefused(a) }))
	a := f.found[i]
	f.found = slices.Delete(f.found, i, i+1)
	return a
}
