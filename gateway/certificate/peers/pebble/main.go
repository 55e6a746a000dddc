// Command pebble is an ACME server for tests: Let's Encrypt's pebble, on loopback alone. It
// resolves every name to 127.0.0.1 and checks it at the port given by -check-port. It is a module
// of its own, so that no other program depends on it. The first line of standard output is
// {"directory":"https://…","server":"PEM","root":"PEM"}: its address, the certificate of the server
// itself, and the root of the certificates that it issues. It ends when standard input ends.
package main

import (
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

func main() {
	port := flag.Int("check-port", 443, "the port at which a name is checked")
	life := flag.Duration("life", 24*time.Hour, "how long a certificate is valid")
	flag.Parse()
	if err := serve(*port, *life); err != nil {
		fmt.Fprintln(os.Stderr, "pebble:", err)
		os.Exit(1)
	}
}

func serve(port int, life time.Duration) error {
	resolver, err := resolve()
	if err != nil {
		return err
	}
	if err := os.Setenv("PEBBLE_VA_NOSLEEP", "1"); err != nil {
		return err
	}
	logger, store := log.New(os.Stderr, "pebble ", 0), db.NewMemoryStore()
	issuer := ca.New(logger, store, "", "ecdsa", 0, 1,
		map[string]ca.Profile{"default": {ValidityPeriod: uint64(life / time.Second)}})
	const strict, bindAccounts, retryAfter = true, false, 1
	front := wfe.New(logger, store, va.New(logger, 0, port, strict, resolver, store), issuer,
		[]string{"pebble.example.org"}, strict, bindAccounts, retryAfter, retryAfter)
	s := httptest.NewTLSServer(front.Handler())
	defer s.Close()
	err = json.NewEncoder(os.Stdout).Encode(map[string]string{"directory": s.URL + wfe.DirectoryPath,
		"root":   string(issuer.GetRootCert(0).PEM()),
		"server": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// resolve starts a DNS server and returns its address. pebble asks over TCP.
func resolve() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA,
				Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }()
	return ln.Addr().String(), nil
}
