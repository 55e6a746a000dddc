// Package server runs the measured servers that are written in Go. Each is a process of its own:
// this program once more, with the arguments of [Args]. Such a process reads lines of JSON from its
// standard input and answers with lines of JSON on its standard output; it ends when its input
// ends. The package does not start programs of others.
package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"latchkey/bench/load"
	"latchkey/keys"
)

// Names of the servers.
const (
	Floor       = "floor"     // sends each datagram back as it came: no DTLS, no CoAP
	Transport   = "transport" // our listener, with a handler that answers 2.04 to everything
	Gateway     = "gateway"   // the whole gateway
	GoCoAP      = "go-coap"   // stock go-coap on stock pion, as its documentation has it
	GoCoAPTuned = "go-coap, tuned"
)

// Names lists them.
var Names = []string{Floor, Transport, Gateway, GoCoAP, GoCoAPTuned}

// Order is the first line that a server reads.
type Order struct {
	Secret   keys.Secret `json:"-"`
	Sessions int         `json:"sessions"` // the most sessions that there may be
	House    House       `json:"house"`    // a gateway's
	Dir      string      `json:"dir"`      // a gateway's store; empty: in memory
	Runtime  string      `json:"runtime"`  // where a gateway saves sessions at its stop; empty: nowhere
	Addr     string      `json:"addr"`     // where a gateway listens; empty: at a port of its own choice
	Profile  string      `json:"profile"`  // file for a CPU profile; empty: none
	// Unbound lifts a gateway's limits on requests and handshakes per second, which one generator
	// with few nodes would reach.
	Unbound bool `json:"unbound"`
	Steps   bool `json:"steps"` // measure the steps of a gateway's attempts, which costs CPU
}

// Figures are the memory of a process in bytes, after a garbage collection that returned free
// memory to the system; otherwise RSS would include garbage.
type Figures struct {
	Sessions   int   `json:"sessions"`
	Goroutines int   `json:"goroutines"`
	RSS        int64 `json:"rss"`
	Peak       int64 `json:"rssAtMost"` // since its start
	Heap       int64 `json:"heap"`
	Stack      int64 `json:"stack"`
}

// answer is a line that a server writes.
type answer struct {
	Addr     string           `json:"addr,omitempty"`
	Figures  *Figures         `json:"figures,omitempty"`
	Mallocs  uint64           `json:"mallocs,omitempty"`
	Steps    map[string]Times `json:"steps,omitempty"`
	Sessions int              `json:"sessions,omitempty"`
}

// Questions, one in each line.
const (
	askFigures  = "figures"
	askSessions = "sessions"
	askMallocs  = "mallocs"
	askSteps    = "steps"
)

// serveArg is the argument that makes this program a server; the server's name follows it.
const serveArg = "serve"

// Args returns the arguments that make this program a server of that name; see [IsServer].
func Args(name string) []string { return []string{serveArg, name} }

// IsServer tells whether these arguments start a server.
func IsServer(args []string) bool {
	return len(args) == 3 && args[1] == serveArg && slices.Contains(Names, args[2])
}

// Main runs a server until its input ends, and returns the program's exit status.
func Main(args []string) int {
	if err := serve(args[2], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[2], err)
		return 1
	}
	return 0
}

// holder is a running server.
type holder struct {
	addr     string
	sessions func() int
	steps    func() map[string]Times // nil: this server has none
	close    func() error
}

func serve(name string, r io.Reader, w io.Writer) error {
	in, out := bufio.NewScanner(r), json.NewEncoder(w)
	var o struct {
		Order
		Secret string `json:"secret"`
	}
	if !in.Scan() {
		return errors.Join(errors.New("no order"), in.Err())
	}
	if err := json.Unmarshal(in.Bytes(), &o); err != nil {
		return err
	}
	secret, err := keys.ParseSecret(o.Secret)
	if err != nil {
		return err
	}
	o.Order.Secret = secret
	if o.Profile != "" {
		f, err := os.Create(o.Profile)
		if err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	h, err := open(name, o.Order)
	if err != nil {
		return err
	}
	if err := out.Encode(answer{Addr: h.addr}); err != nil {
		return err
	}
	for in.Scan() {
		var a answer
		switch in.Text() {
		case askFigures:
			if a.Figures, err = figures(); err != nil {
				return err
			}
			a.Figures.Sessions = h.sessions()
		case askSessions:
			a.Sessions = h.sessions()
		case askMallocs:
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			a.Mallocs = m.Mallocs
		case askSteps:
			if h.steps != nil {
				a.Steps = h.steps()
			}
		default:
			return fmt.Errorf("asked for %q", in.Text())
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return errors.Join(in.Err(), h.close())
}

func open(name string, o Order) (holder, error) {
	switch name {
	case Floor:
		return startFloor()
	case Transport:
		return startTransport(o)
	case Gateway:
		return startGateway(o)
	case GoCoAP:
		return startGoCoAP(o, false)
	case GoCoAPTuned:
		return startGoCoAP(o, true)
	}
	return holder{}, errors.New("no such server")
}

// figures collects the garbage twice, because pools keep their objects over one collection.
func figures() (*Figures, error) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u, err := load.UsageOf(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("resident memory is known on Linux only: %w", err)
	}
	return &Figures{Goroutines: runtime.NumGoroutine(), Heap: int64(m.HeapInuse), Stack: int64(m.StackInuse),
		RSS: u.RSS, Peak: u.Peak}, nil
}

// fail ends a server that cannot serve any more.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "server ended:", err)
	os.Exit(1)
}

// Server is one of these servers, in a process of its own.
type Server struct {
	*load.Process
	Name string
	Addr string
	in   io.WriteCloser
	out  *json.Decoder
}

// Start starts this program once more as a server, on the given CPUs, or on any CPU if none are
// given.
func Start(ctx context.Context, name string, o Order, cpus []int) (*Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, Args(name)...)
	cmd.Stderr = os.Stderr
	s := &Server{Name: name}
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = json.NewDecoder(bufio.NewReader(out))
	if s.Process, err = load.Start(ctx, cmd, cpus); err != nil {
		return nil, err
	}
	order := struct {
		Order
		Secret string `json:"secret"`
	}{o, o.Secret.Reveal()}
	var a answer
	err = json.NewEncoder(s.in).Encode(order)
	if err == nil {
		err = s.out.Decode(&a)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s has not started: %w", name, err), s.Stop())
	}
	s.Addr = a.Addr
	return s, nil
}

func (s *Server) ask(question string) (a answer, err error) {
	if _, err := io.WriteString(s.in, question+"\n"); err != nil {
		return a, err
	}
	err = s.out.Decode(&a)
	return a, err
}

// Figures returns the memory of the server after a garbage collection.
func (s *Server) Figures() (Figures, error) {
	a, err := s.ask(askFigures)
	if err != nil || a.Figures == nil {
		return Figures{}, errors.Join(err, errors.New("no figures"))
	}
	return *a.Figures, nil
}

// Sessions returns how many sessions the server has now.
func (s *Server) Sessions() (int, error) {
	a, err := s.ask(askSessions)
	return a.Sessions, err
}

// Mallocs returns how many objects the server has allocated since its start.
func (s *Server) Mallocs() (uint64, error) {
	a, err := s.ask(askMallocs)
	return a.Mallocs, err
}

// Steps returns how long each step took in a gateway, for the attempts that were decided since the
// last call. It is the gateway's own time, without the network.
func (s *Server) Steps() (map[string]Times, error) {
	a, err := s.ask(askSteps)
	return a.Steps, err
}

// Stop ends the server and waits for it.
func (s *Server) Stop() error {
	_ = s.in.Close()
	select {
	case <-s.Ended():
	case <-time.After(20 * time.Second):
	}
	return s.Process.Stop()
}

// Settle waits until the server has no session any more, for about 30 s at most, and then for the
// given time. It returns the figures after that.
func (s *Server) Settle(ctx context.Context, idle time.Duration) (Figures, error) {
	const patient = 30 * time.Second
	for end := time.Now().Add(patient); ; {
		f, err := s.Figures()
		if err != nil {
			return f, err
		}
		if f.Sessions == 0 {
			break
		}
		if time.Now().After(end) {
			return f, fmt.Errorf("%d sessions are left %v after their end", f.Sessions, patient)
		}
		if err := load.Sleep(ctx, 100*time.Millisecond); err != nil {
			return f, err
		}
	}
	if err := load.Sleep(ctx, idle); err != nil {
		return Figures{}, err
	}
	return s.Figures()
}

// Shown returns the name of a server in a report.
func Shown(name string) string {
	if name == Transport || name == Gateway {
		return "latchkey " + name
	}
	return strings.TrimSpace(name)
}
