package e2e

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/coapres/device"
	"latchkey/gateway/store"
)

// ourSuites are the suites that the gateway accepts, by OpenSSL's names.
var ourSuites = []string{"PSK-AES128-CCM8", "PSK-AES128-CCM", "ECDHE-PSK-CHACHA20-POLY1305"}

// ciphers returns OpenSSL's suites of TLS 1.2 and older, including the weakest ones.
func ciphers(t *testing.T, list string) []string {
	t.Helper()
	all := strings.Split(strings.TrimSpace(runProgram(t,
		exec.Command(findProgram(t, "openssl", opensslPackage), "ciphers", list+":@SECLEVEL=0"))), ":")
	// TLS 1.3 suites are always listed.
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "TLS_") })
}

// tryHandshake runs openssl s_client with the reader's key and returns what it printed.
func (d *door) tryHandshake(addr string, env []string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(findProgram(d.t, "openssl", opensslPackage),
		append([]string{"s_client", "-connect", addr,
			"-psk", secretInHex(d.readerKey), "-psk_identity", string(d.readerKey.ID)}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return runProgram(d.t, cmd)
}

const (
	established = "Cipher is "
	nothing     = "Cipher is (NONE)"
	refusal     = "SSL alert number" // the gateway sent an alert, so OpenSSL did not give up by itself
)

// wantSession checks that s_client completed its handshake with this suite.
func wantSession(t *testing.T, rule, suite, printed string) {
	t.Helper()
	for _, want := range []string{established + suite + "\n", "Protocol  : DTLSv1.2\n",
		"Extended master secret: yes\n"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%s: no %q in\n%s", rule, want, printed)
		}
	}
}

// wantRefusal checks that the gateway refused the handshake with an alert.
func wantRefusal(t *testing.T, rule, printed string) {
	t.Helper()
	if !strings.Contains(printed, nothing) || !strings.Contains(printed, refusal) {
		t.Errorf("%s: want a handshake that the gateway refuses, got\n%s", rule, printed)
	}
}

// The gateway accepts three of all the suites that OpenSSL has.
func TestOnlyOurSuites(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	suites := ciphers(t, "PSK")
	for _, name := range ourSuites {
		if !slices.Contains(suites, name) {
			t.Fatalf("OpenSSL has no %s, so this test would show nothing", name)
		}
	}
	if len(suites) < 20 {
		t.Fatalf("OpenSSL has only %d suites with a pre-shared key", len(suites))
	}
	var wg sync.WaitGroup
	turns := make(chan struct{}, 8)
	for _, name := range suites {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			printed := d.tryHandshake(d.addr, nil, "-dtls1_2", "-cipher", name+":@SECLEVEL=0")
			if slices.Contains(ourSuites, name) {
				wantSession(t, name, name, printed)
			} else {
				wantRefusal(t, name, printed)
			}
		})
	}
	wg.Wait()
	t.Logf("%d suites with a pre-shared key, one by one", len(suites))

	rest := slices.DeleteFunc(suites, func(name string) bool { return slices.Contains(ourSuites, name) })
	wantRefusal(t, "all others with a pre-shared key at once",
		d.tryHandshake(d.addr, nil, "-dtls1_2", "-cipher", strings.Join(rest, ":")+":@SECLEVEL=0"))
	foreign := ciphers(t, "ALL:COMPLEMENTOFALL:!PSK:!SRP")
	wantRefusal(t, "all without a pre-shared key at once", d.tryHandshake(d.addr, nil, "-dtls1_2", "-cipher",
		strings.Join(foreign, ":")+":@SECLEVEL=0"))
}

func TestOnlyDTLS12(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	wantSession(t, "any version", ourSuites[0], d.tryHandshake(d.addr, nil, "-dtls", "-cipher",
		ourSuites[0]+":@SECLEVEL=0"))
	wantRefusal(t, "DTLS 1.0", d.tryHandshake(d.addr, nil, "-dtls1", "-cipher",
		"ALL:COMPLEMENTOFALL:@SECLEVEL=0"))
}

// The gateway refuses a handshake without the extended master secret, which binds the keys to the
// handshake (RFC 7627).
func TestExtendedMasterSecretRequired(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	try := func(settings string) (printed string, hello []byte) {
		conf := filepath.Join(t.TempDir(), "openssl.cnf")
		if err := os.WriteFile(conf, []byte(opensslConf(settings)), 0o600); err != nil {
			t.Fatal(err)
		}
		r, c := d.newTappedRelay()
		printed = d.tryHandshake(r.Addr(), []string{"OPENSSL_CONF=" + conf}, "-dtls1_2", "-cipher",
			ourSuites[0]+":@SECLEVEL=0")
		for _, g := range c.datagrams() {
			if g.dir == device.Up {
				return printed, g.b
			}
		}
		t.Fatal("nothing was sent")
		return "", nil
	}
	with, long := try("Options = ExtendedMasterSecret")
	without, short := try("Options = -ExtendedMasterSecret")
	wantSession(t, "with it", ourSuites[0], with)
	wantRefusal(t, "without it", without)
	extension, _ := hex.DecodeString("00170000")
	if !bytes.Contains(long, extension) || bytes.Contains(short, extension) ||
		len(long)-len(short) != len(extension) {
		t.Errorf("the two hellos differ in more than the extension:\n%x\n%x", long, short)
	}
}
