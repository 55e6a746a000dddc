package limit

import (
	"context"
	"net/netip"
)

// Client is who makes a request, for the sake of its budget only.
type Client struct {
	Addr    string // where it comes from, as [AddrOf] names it
	Account string // who is signed in; empty: a stranger
	Token   string // with which of the account's tokens; empty: none
}

// AddrOf names the share of a remote address: an IPv4 address, or the /64 of an IPv6 one, since
// whoever has one address of it has them all. What is no IP address has one share together.
func AddrOf(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "this machine"
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // never fails: an IPv6 address has 128 bits
	return p.String()
}

type clientKey struct{}

// WithClient says who makes the requests of a context. [Handler] does so.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf is who makes the request of a context; the zero Client if nobody has said so.
func ClientOf(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}
