package limit

import (
	"context"
	"net/netip"
)

// Client says whose budget a request uses.
type Client struct {
	Addr    string // the source, as from [AddrOf]
	Account string // who is signed in; empty: a stranger
	Token   string // which of the account's tokens it used; empty: none
}

// AddrOf names the share of a remote address: the IPv4 address, or the /64 of an IPv6 address,
// because one visitor usually has a whole /64. All texts that are not IP addresses have one share
// together.
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

// WithClient stores the client in a context. [NewHandler]'s handler does so for each request.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf returns the client in a context, or the zero Client if there is none.
func ClientOf(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}
