package brokertest

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/sink/broker"
	"latchkey/keys"
)

//go:embed peer.py
var peer string

// Peer is an AMQP 1.0 server that is no broker: the address of a link says what it answers, and
// peer.py says how.
type Peer struct {
	Endpoint endpoint.Endpoint // with TLS and a client certificate
	dir      string
}

// StartPeer starts a server, which ends with the test, that calls itself by the name of a product.
func StartPeer(t *testing.T, product string) *Peer {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's own, which has Debian's packages
	if out, err := exec.Command(python, "-c", "import proton").CombinedOutput(); err != nil {
		t.Fatalf("install the package python3-qpid-proton: %v: %s", err, out)
	}
	p := &Peer{dir: t.TempDir()}
	port, err := broker.FindPort()
	Check(t, err)
	ca := testca.New(t)
	cert, key := ca.Issue(t, "localhost")
	for name, text := range map[string]string{"ca.pem": ca.PEM, "cert.pem": cert, "key.pem": key} {
		Check(t, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600))
	}
	running, err := broker.StartProcess("listening", exec.Command(python, "-c", peer, port, p.dir, product))
	Check(t, err)
	t.Cleanup(func() { running.End(os.Kill) })
	cert, key = ca.Issue(t, "gateway")
	p.Endpoint = endpoint.Endpoint{URL: "amqps://127.0.0.1:" + port, CA: ca.PEM, Cert: cert, Key: keys.Hide(key),
		Private: true}
	return p
}

// Accepted returns the messages that the server has accepted.
func (p *Peer) Accepted() (all []broker.Delivery, err error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "accepted"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("brokertest: %w", err)
	}
	for id := range strings.FieldsSeq(string(text)) {
		all = append(all, broker.Delivery{ID: id})
	}
	return all, nil
}
