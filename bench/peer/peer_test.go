package peer

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport"
	"latchkey/keys"
)

// config returns a configuration for a test of this package, which is two folders below the root.
func config() Config {
	return Config{Root: "../..", Secret: keys.NewSecret(), Identity: keys.NewID()}
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// started ends the peer with the test, and fails the test if the peer has ended before.
func started(t *testing.T, s *Server, err error) *Server {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Log(s.Name, s.Version, s.Addr)
	if s.Version == "" {
		t.Error("it has no version")
	}
	if u, err := s.Usage(); err != nil || u.RSS == 0 {
		t.Errorf("got usage %+v, %v", u, err)
	}
	return s
}

// mustServe checks that the peer accepts our cipher suite with the extended master secret, and
// answers the request as every peer must.
func mustServe(t *testing.T, s *Server, cfg Config) {
	t.Helper()
	ua, err := net.ResolveUDPAddr("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dtls.DialWithOptions("udp", ua,
		dtls.WithPSK(func([]byte) ([]byte, error) { return cfg.Secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(cfg.Identity)),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		t.Fatalf("handshake with %s: %v", s.Name, err)
	}
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for id := uint16(1); id <= 3; id++ {
		if _, err := c.Write(Request(id)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1500)
		n, err := c.Read(answer)
		if err != nil {
			t.Fatalf("PUT to %s: %v", s.Name, err)
		}
		if want := []byte{0x62, 2<<5 | 4, 0, byte(id), 0, byte(id)}; !bytes.Equal(answer[:n], want) {
			t.Errorf("%s answers PUT %d with %x, want %x: 2.04 and nothing more", s.Name, id, answer[:n],
				want)
		}
	}
}

func TestLibcoap(t *testing.T) {
	for _, name := range []string{LibcoapOpenSSL, LibcoapGnuTLS} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			s, err := StartLibcoap(bounded(t), cfg, name)
			mustServe(t, started(t, s, err), cfg)
		})
	}
}

func TestGoCoAPDTLS2(t *testing.T) {
	cfg := config()
	s, err := StartGoCoAPDTLS2(bounded(t), cfg)
	started(t, s, err)
	if !strings.Contains(s.Version, "pion/dtls/v2 v2.") || !strings.Contains(s.Version, "go-coap/v3 v3.3.4") {
		t.Errorf("got version %q", s.Version)
	}
	before, err := s.Figures(true)
	if err != nil {
		t.Fatal(err)
	}
	mustServe(t, s, cfg)
	after, err := s.Figures(false)
	if err != nil {
		t.Fatal(err)
	}
	if before.Heap == 0 || before.Stack == 0 || before.Goroutines == 0 || after.Mallocs <= before.Mallocs {
		t.Errorf("got figures %+v, then %+v", before, after)
	}
}

func TestGoCoAPDTLS2HoldsIdleSessions(t *testing.T) {
	const sessions = 100
	cfg := config()
	s, err := StartGoCoAPDTLS2(bounded(t), cfg)
	started(t, s, err)
	ctx := bounded(t)
	for range sessions {
		c, err := transport.Dial(ctx, s.Addr, keys.NewID(), cfg.Secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.End(); err != nil {
				t.Error(err)
			}
			<-c.Done()
		}()
	}
	f, err := s.Figures(true)
	// It is counted a little after its handshake.
	for err == nil && f.Sessions < sessions && ctx.Err() == nil {
		f, err = s.Figures(true)
	}
	if err != nil || f.Sessions != sessions || f.Goroutines < sessions {
		t.Errorf("got %+v, %v, want %d sessions", f, err, sessions)
	}
}

func TestAMissingProgramIsAnErrorThatNamesItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := StartLibcoap(bounded(t), config(), LibcoapGnuTLS)
	if err == nil || !strings.Contains(err.Error(), "libcoap3-bin") {
		t.Errorf("got %v", err)
	}
	if pkgs := Missing(); !slices.Contains(pkgs, "libcoap3-bin") {
		t.Errorf("missing is %v", pkgs)
	}
}

func TestAPeerThatEndsAtOnceSaysWhy(t *testing.T) {
	cfg := config()
	_, err := cfg.launch(bounded(t), &Server{Name: "sh"}, exec.Command("/bin/sh", "-c",
		"echo no room; exit 3"), func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), "no room") || !strings.Contains(err.Error(), "status 3") {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsMissing(t *testing.T) {
	if pkgs := Missing(); len(pkgs) > 0 {
		t.Errorf("install Debian's %v", pkgs)
	}
}
