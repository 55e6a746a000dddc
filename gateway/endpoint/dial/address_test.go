package dial

import (
	"context"
	"errors"
	"net"
	"testing"

	"latchkey/gateway/endpoint"
)

// The dialer looks at each address that it tries.
func TestDialerRefuses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		for _, private := range []bool{false, true} {
			e := endpoint.Endpoint{URL: "https://x.example", Private: private}
			c, err := Dialer(e).DialContext(context.Background(), "tcp", net.JoinHostPort(host, port))
			if err == nil {
				_ = c.Close()
			}
			if (err == nil) != private || err != nil && !errors.Is(err, ErrAddress) {
				t.Errorf("%s, private %v: got %v", host, private, err)
			}
		}
	}
}
