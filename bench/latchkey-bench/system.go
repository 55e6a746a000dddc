package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/server"
	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// system is one of the servers that are compared.
type system struct {
	name  string
	start func(b *bench, o server.Order) (*target, error)
	open  func(ctx context.Context, t *target, n int) (exchanger, error)
	here  func() bool // nil: always
}

// target is a running system.
type target struct {
	addr   string
	secret keys.Secret
	usage  func() (load.Usage, error)
	stop   func() error
	own    *server.Server // nil: not one of our programs
	peer   *peer.Server
}

// exchanger is a session that makes the same request again and again.
type exchanger interface {
	exchange() error
	Close() error
}

const (
	gatewayName   = "latchkey gateway"
	transportName = "latchkey transport"
)

// systems are those that speak CoAP over DTLS, and the floor.
var systems = []system{
	{server.Floor, startOwn(server.Floor), openFloor, nil},
	{transportName, startOwn(server.Transport), openPut(true), nil},
	{gatewayName, startOwn(server.Gateway), openScan, nil},
	{server.GoCoAP, startOwn(server.GoCoAP), openPut(true), nil},
	{server.GoCoAPTuned, startOwn(server.GoCoAPTuned), openPut(true), nil},
	{peer.GoCoAPDTLS2Name, startPeer(peer.StartGoCoAPDTLS2), openPut(false), nil},
	{peer.LibcoapGnuTLS, startLibcoap(peer.LibcoapGnuTLS), openPut(false), hasLibcoap},
	{peer.LibcoapOpenSSL, startLibcoap(peer.LibcoapOpenSSL), openPut(false), hasLibcoap},
}

func hasLibcoap() bool { return !slices.Contains(peer.Missing(), "libcoap3-bin") }

// chooseSystems returns the systems with these names, or all of them, if they are installed here.
func chooseSystems(names ...string) (chosen []system) {
	for _, s := range systems {
		if (len(names) == 0 || slices.Contains(names, s.name)) && (s.here == nil || s.here()) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func startOwn(name string) func(*bench, server.Order) (*target, error) {
	return func(b *bench, o server.Order) (*target, error) {
		o.Secret = b.secret
		if b.profiles != "" {
			o.Profile = filepath.Join(b.profiles,
				fmt.Sprintf("%s-%s-%d.pprof", b.now.Name, strings.ReplaceAll(name, ", ", "-"),
					time.Now().UnixMilli()))
		}
		s, err := server.Start(b.ctx, name, o, b.server)
		if err != nil {
			return nil, err
		}
		return &target{addr: s.Addr, secret: b.secret, usage: s.Usage, stop: s.Stop, own: s}, nil
	}
}

func startPeer(start func(context.Context, peer.Config) (*peer.Server,
	error)) func(*bench, server.Order) (*target, error) {
	return func(b *bench, _ server.Order) (*target, error) {
		s, err := start(b.ctx, peer.Config{Root: b.root, CPUs: b.server, Secret: b.secret,
			Identity: server.Identity(0)})
		if err != nil {
			return nil, err
		}
		b.result.Versions[s.Name] = s.Version
		return &target{addr: s.Addr, secret: b.secret, usage: s.Usage, stop: s.Stop, peer: s}, nil
	}
}

func startLibcoap(name string) func(*bench, server.Order) (*target, error) {
	return startPeer(func(ctx context.Context, c peer.Config) (*peer.Server,
		error) {
		return peer.StartLibcoap(ctx, c, name)
	})
}

// newFolder returns the path of a new folder for a store on disk.
func (b *bench) newFolder() string {
	return filepath.Join(b.tmp, fmt.Sprintf("store-%d", time.Now().UnixNano()))
}

// payload is sent when only the round trip is measured.
var payload = make([]byte, peer.Payload)

type floorSession struct{ *load.Session }

func openFloor(_ context.Context, t *target, _ int) (exchanger, error) {
	s, err := load.DialPlain(t.addr)
	return floorSession{s}, err
}

func (s floorSession) exchange() error { return s.Echo(payload) }

type putSession struct{ *load.Session }

// openPut opens a session that sends a PUT of the payload, which is answered 2.04. cid asks for a
// connection ID.
func openPut(cid bool) func(context.Context, *target, int) (exchanger, error) {
	return func(ctx context.Context, t *target, n int) (exchanger, error) {
		s, err := load.Dial(ctx, t.addr, load.Options{Identity: server.Identity(n), Secret: t.secret,
			CID: cid, Source: source(n)})
		if err != nil {
			return nil, err
		}
		return putSession{s}, nil
	}
}

func (s putSession) exchange() error {
	a, err := s.Do(load.Request{Code: codes.PUT, Path: "/" + peer.Path, Payload: payload})
	if err == nil && a.Code != codes.Changed {
		err = errors.New(a.Code.String())
	}
	return err
}

// source returns the loopback address of the n-th node. Each node has its own, because some servers
// limit the requests from one address.
func source(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 1 + byte(n>>16), byte(n >> 8), byte(n)})
}

// reader is a session that presents a card.
type reader struct {
	*load.Session
	held    coapres.Held
	counter uint64
	card    []byte
	want    wire.Outcome
}

// openScan opens the session of a reader at a door without a lock and registers the reader, which
// brings the first Echo. The card is registered and opens nothing: each exchange is a decision that
// is made, sealed and synced, without a command.
func openScan(ctx context.Context, t *target, n int) (exchanger, error) {
	r, err := dialReader(ctx, t, server.Identity(n), source(n))
	if err != nil {
		return nil, err
	}
	r.card, r.want = server.Stranger(), wire.Denied
	if err := r.register(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func dialReader(ctx context.Context, t *target, id keys.ID, from netip.Addr) (*reader, error) {
	s, err := load.Dial(ctx, t.addr, load.Options{Identity: id, Secret: t.secret, CID: true, Source: from})
	if err != nil {
		return nil, err
	}
	return &reader{Session: s}, nil
}

// register makes the registration of a node (RFC 9176 §5).
func (r *reader) register() error {
	a, err := r.Do(load.Request{Code: codes.POST, Path: "/rd", Query: "lt=86400"})
	if err != nil {
		return err
	}
	if a.Code != codes.Created {
		return fmt.Errorf("registration: %v", a.Code)
	}
	r.take(a)
	return nil
}

// echo is the number of the Echo option (RFC 9175 §2.2.1).
const echo message.OptionID = 252

func (r *reader) take(a message.Message) {
	if e, err := a.Options.GetBytes(echo); err == nil {
		r.held.Take(e, time.Now())
	}
}

// exchange presents the card once. Without a fresh Echo the gateway asks for the scan again, as it
// does with any node.
func (r *reader) exchange() error {
	r.counter++
	intent := time.Now()
	for range 2 {
		e, age := r.held.Age(intent, time.Now())
		body, err := wire.Scan{N: r.counter, UID: r.card, Age: age}.Encode(wire.CBOR)
		if err != nil {
			return err
		}
		opts := message.Options{{ID: message.ContentFormat, Value: []byte{byte(wire.CBOR)}}}
		q := load.Request{Code: codes.POST, Path: "/scan", Payload: body, Options: opts}
		if e != nil {
			q.Options = append(q.Options, message.Option{ID: echo, Value: e})
		}
		a, err := r.Do(q)
		if err != nil {
			return err
		}
		r.take(a)
		switch a.Code {
		case codes.Unauthorized:
			continue
		case codes.Changed:
		default:
			return errors.New(a.Code.String())
		}
		v, err := wire.ParseVerdict(wire.CBOR, a.Payload)
		if err == nil && v.Verdict != r.want {
			err = fmt.Errorf("verdict %v, want %v", v.Verdict, r.want)
		}
		return err
	}
	return errors.New("refused as not fresh, twice")
}
