package peer

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"latchkey/coapres/transport"
)

// The names of the peers in the results.
const (
	LibcoapOpenSSL = "libcoap-openssl"
	LibcoapGnuTLS  = "libcoap-gnutls"
)

// StartLibcoap starts libcoap's example server: name is LibcoapOpenSSL or LibcoapGnuTLS. It accepts
// any identity with the one secret. It keeps its own list of cipher suites; a node that offers only
// PSK_WITH_AES_128_CCM_8 gets that one.
func StartLibcoap(ctx context.Context, cfg Config, name string) (*Server, error) {
	path, err := findProgram("coap-server-" + strings.TrimPrefix(name, "libcoap-"))
	if err != nil {
		return nil, err
	}
	port, err := findFreePair()
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, Addr: localAddr(port + 1), Version: libcoapVersion(ctx, path)}
	cmd := exec.Command(path, "-A", "127.0.0.1", "-p", strconv.Itoa(port), "-h", "", "-k",
		cfg.Secret.Reveal(), "-v", "3")
	return cfg.launch(ctx, s, cmd, func(ctx context.Context) error {
		if err := poll(ctx, createResource(localAddr(port))); err != nil {
			return err
		}
		c, err := transport.Dial(ctx, s.Addr, cfg.Identity, cfg.Secret, nil)
		if err != nil {
			return err
		}
		defer func() { <-c.Done() }()
		return c.End()
	})
}

// findFreePair returns a port that is free in UDP and TCP and whose next port is free too: libcoap
// uses the next one for DTLS.
func findFreePair() (int, error) {
	for range 100 {
		ports, err := findFreePorts(1)
		if err != nil {
			return 0, err
		}
		port := ports[0]
		if isFree(port) && isFree(port+1) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no two ports in a row are free")
}

func isFree(port int) bool {
	addr := localAddr(port)
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = u.Close() }()
	t, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return t.Close() == nil
}

// createResource returns a function that makes the resource that the peers are asked for, without
// DTLS: the first PUT is answered 2.01, and the later ones, which are measured, 2.04.
func createResource(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "udp", addr)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := c.Write(Request(1)); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 64)) // fails at once if nobody listens
		return err
	}
}

var (
	coapVersion   = regexp.MustCompile(`(?m)^coap-server\S* v(\S+)`)
	letterVersion = regexp.MustCompile(`^(3\.\d+\.)0([a-z])-dev$`)
	tlsVersion    = regexp.MustCompile(`TLS Library: (\S+) - runtime ([^,\s]+)`)
)

func libcoapVersion(ctx context.Context, path string) string {
	out, _ := exec.CommandContext(ctx, path, "-?").CombinedOutput() // it prints its usage, with exit status 1
	v := "libcoap"
	if m := coapVersion.FindSubmatch(out); m != nil {
		v += " " + string(m[1])
	}
	if m := tlsVersion.FindSubmatch(out); m != nil {
		v += ", " + string(m[1]) + " " + patchNumber(string(m[2]))
	}
	return v
}

// patchNumber corrects OpenSSL's version as libcoap prints it. libcoap writes the patch number as a
// letter, as up to OpenSSL 1.1, and always adds "-dev": 3.0.0v-dev is 3.0.22.
func patchNumber(v string) string {
	m := letterVersion.FindStringSubmatch(v)
	if m == nil {
		return v
	}
	return m[1] + strconv.Itoa(int(m[2][0]-'a')+1)
}
