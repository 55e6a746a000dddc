// Package peer starts the systems that people would use instead of latchkey, each in a process of
// its own on 127.0.0.1 with a given key, and waits until they answer. It sends them no load and
// measures only taps over MQTT, for which there is no other generator.
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"latchkey/bench/load"
	"latchkey/keys"
)

// The request that every CoAP peer serves: a confirmable PUT of Payload bytes to Path (one
// segment), which is answered 2.04 without a payload.
const (
	Path    = "example_data"
	Payload = 46
)

// Request returns the bytes of that PUT: a header with a token of two bytes, Uri-Path, payload. id
// is the message ID and the token; use each id only once in a session.
func Request(id uint16) []byte {
	m := []byte{0x42, 3, byte(id >> 8), byte(id), byte(id >> 8), byte(id), uriPath<<4 | byte(len(Path))}
	m = append(append(m, Path...), 0xff)
	return append(m, bytes.Repeat([]byte{'x'}, Payload)...)
}

const uriPath = 11 // RFC 7252 §5.10; the length of Path is below 13, so it fits into the same byte

// patient is how long a peer may take until its first answer.
const patient = 10 * time.Second

// Config holds what every peer needs to start.
type Config struct {
	Root     string      // root of this repository, for peers that are built from it
	CPUs     []int       // that the peer runs on; none: any
	Secret   keys.Secret // for this run only: some peers take it only on their command line
	Identity keys.ID     // that the peer accepts, if it checks identities
}

// Server is a running peer.
type Server struct {
	*load.Process
	Name    string // as in the results
	Addr    string // host:port
	Version string
	talk    *talk  // to a peer that we wrote, or nil
	tidy    func() // cleans up when the peer has ended, or nil
}

// Stop ends the peer and removes its files.
func (s *Server) Stop() error {
	err := s.Process.Stop()
	if s.tidy != nil {
		s.tidy()
	}
	return err
}

// program is a program that a peer needs, with its Debian package.
type program struct{ name, pkg string }

var programs = []program{
	{"coap-server-openssl", "libcoap3-bin"},
	{"coap-server-gnutls", "libcoap3-bin"},
	{"mosquitto", "mosquitto"},
	{"nginx", "nginx"},
	{"gcc", "gcc"},
	{"rabbitmq-server", "rabbitmq-server"},
}

const mosquittoHeader = "/usr/include/mosquitto.h"

// Missing returns the Debian packages that the peers need and that are not installed.
func Missing() []string {
	var pkgs []string
	need := func(pkg string) {
		for _, p := range pkgs {
			if p == pkg {
				return
			}
		}
		pkgs = append(pkgs, pkg)
	}
	for _, p := range programs {
		if _, err := findProgram(p.name); err != nil {
			need(p.pkg)
		}
	}
	if _, err := os.Stat(mosquittoHeader); err != nil {
		need("libmosquitto-dev")
	}
	return pkgs
}

// findProgram returns the path of a program. Daemons are in sbin, which is not in every user's
// PATH.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	for _, p := range programs {
		if p.name == name {
			return "", fmt.Errorf("%s is not here: install Debian's %s", name, p.pkg)
		}
	}
	return "", fmt.Errorf("%s is not here", name)
}

// launch starts a peer, and ends it again if it does not answer in time. Then the error contains
// the peer's output.
func (c Config) launch(ctx context.Context, s *Server, cmd *exec.Cmd,
	answers func(context.Context) error) (*Server, error) {
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	return c.run(ctx, s, cmd, said, answers)
}

func (c Config) run(ctx context.Context, s *Server, cmd *exec.Cmd, said *tail,
	answers func(context.Context) error) (*Server, error) {
	endWithUs(cmd)
	p, err := load.Start(ctx, cmd, c.CPUs)
	if err != nil {
		if s.tidy != nil {
			s.tidy()
		}
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	s.Process = p
	wait, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	go func() {
		select {
		case <-p.Ended():
			cancel()
		case <-wait.Done():
		}
	}()
	if err := answers(wait); err != nil {
		err = errors.Join(fmt.Errorf("%s does not answer: %w", s.Name, err), s.Stop())
		return nil, errors.Join(err, said.err())
	}
	return s, nil
}

// poll calls try until it returns no error or ctx ends. Then it returns the last error.
func poll(ctx context.Context, try func(context.Context) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := try(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func localAddr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// findFreePorts returns n TCP ports of 127.0.0.1 that are free now.
func findFreePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// tryConnect returns a function that fails unless a TCP server accepts a connection.
func tryConnect(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err
	}
}

// firstLine returns the first line that a program prints about itself, with any exit status.
func firstLine(ctx context.Context, path string, args ...string) string {
	out, _ := exec.CommandContext(ctx, path, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
