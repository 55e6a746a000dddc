package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"golang.org/x/time/rate"

	"latchkey/gateway/transport"
	"latchkey/keys"
)

const (
	pace    = 350 // handshakes a second: a listener takes 400 from an address that it knows
	endPace = 1000
	abreast = 16  // handshakes at once
	samples = 100 // sessions that are asked for something after the idle time
	patient = 30 * time.Second
)

// server is a server in a process of its own.
type server struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	addr   string
	secret keys.Secret
}

// start starts this program once more, as a server that expects so many sessions. It ends when its standard input does.
func start(ctx context.Context, name string, sessions int) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.CommandContext(ctx, self, serverArg, name), secret: keys.NewSecret()}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = json.NewDecoder(bufio.NewReader(out))
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var a answer
	if err := json.NewEncoder(s.in).Encode(order{Sessions: sessions, Secret: s.secret.Reveal()}); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := s.out.Decode(&a); err != nil {
		return nil, errors.Join(fmt.Errorf("not started: %w", err), s.stop())
	}
	s.addr = a.Addr
	return s, nil
}

func (s *server) figures() (figures, error) {
	var a answer
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return figures{}, err
	}
	err := s.out.Decode(&a)
	return a.figures, err
}

// settle waits until the server has no session any more, and then for so long.
func (s *server) settle(ctx context.Context, idle time.Duration) (figures, error) {
	for end := time.Now().Add(patient); ; {
		f, err := s.figures()
		if err != nil {
			return f, err
		}
		if f.Sessions == 0 {
			break
		}
		if time.Now().After(end) {
			return f, fmt.Errorf("%d sessions are left %v after their end", f.Sessions, patient)
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return f, err
		}
	}
	if err := rest(ctx, idle); err != nil {
		return figures{}, err
	}
	return s.figures()
}

func (s *server) stop() error {
	_ = s.in.Close()
	return s.cmd.Wait()
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// identity is that of the n-th node.
func identity(n int) keys.ID { return keys.ID(fmt.Sprintf("lk-%010d", n)) }

// nodes are sessions from the nodes' side, each with a key, an identity and a socket of its own.
type nodes []*transport.Conn

// connect opens so many sessions, and each node registers, as every node does first (RFC 9176 §5). What it returns is to be ended, with an error too.
func connect(ctx context.Context, addr string, secret keys.Secret, n int) (nodes, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := rate.NewLimiter(pace, abreast)
	next := make(chan int)
	var mu sync.Mutex
	var all nodes
	var wg sync.WaitGroup
	for range abreast {
		wg.Go(func() {
			for i := range next {
				c, err := transport.Dial(context.Background(), addr, identity(i), secret, nil)
				if err == nil {
					mu.Lock()
					all = append(all, c)
					mu.Unlock()
					err = request(c, codes.POST, "/rd", "lt=86400")
				}
				if err != nil {
					cancel(fmt.Errorf("node %d: %w", i, err))
				}
			}
		})
	}
	for i := 0; i < n && limit.Wait(ctx) == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
	err := context.Cause(ctx)
	cancel(nil)
	return all, err
}

// ask has up to n of the sessions, evenly taken, do one request each and tells how many. One without its answer is an error.
func (ns nodes) ask(n int) (int, error) {
	n = min(n, len(ns))
	for i := range n {
		if err := request(ns[i*len(ns)/n], codes.GET, "/.well-known/core", ""); err != nil {
			return i, fmt.Errorf("after the idle time: %w", err)
		}
	}
	return n, nil
}

func request(c *transport.Conn, method codes.Code, path, query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m := pool.NewMessage(ctx)
	m.SetCode(method)
	m.MustSetPath(path)
	if query != "" {
		m.AddQuery(query)
	}
	a, err := c.Do(m)
	if err == nil && a.Code()>>5 != 2 {
		err = errors.New(a.Code().String())
	}
	if err != nil {
		return fmt.Errorf("%v %s: %w", method, path, err)
	}
	return nil
}

// end says goodbye on every session, at a pace at which a server with a small receive buffer hears them all. Twice is harmless.
func (ns nodes) end() {
	limit := rate.NewLimiter(endPace, 1)
	for _, c := range ns {
		select {
		case <-c.Done():
			continue
		default:
		}
		_ = limit.Wait(context.Background()) // with no deadline it does not fail
		_ = c.End()
		<-c.Done()
	}
}
