package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// GoCoAPDTLS2Name is the name of that peer in the results.
const GoCoAPDTLS2Name = "go-coap-dtls2"

// Figures are the memory, in bytes, of a peer that we wrote in Go, and the number of objects that
// it has allocated since its start.
type Figures struct {
	Sessions   int    `json:"sessions"`
	Goroutines int    `json:"goroutines"`
	Heap       int64  `json:"heap"` // spans in use
	Stack      int64  `json:"stack"`
	Mallocs    uint64 `json:"mallocs"`
}

// talk exchanges lines of JSON with a peer that we wrote.
type talk struct {
	in  io.Writer
	out *bufio.Reader
	end io.ReadCloser // what out reads from
}

// hello is the first line of a peer that we wrote.
type hello struct {
	Addr    string `json:"addr"`
	Version string `json:"version"`
}

// StartGoCoAPDTLS2 builds and starts go-coap/v3 over pion/dtls v2. It accepts any identity with the
// one secret. It has [Server.Figures].
func StartGoCoAPDTLS2(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := os.MkdirTemp("", "latchkey-peer-")
	if err != nil {
		return nil, err
	}
	s := &Server{Name: GoCoAPDTLS2Name, tidy: func() { _ = os.RemoveAll(dir) }}
	cmd, err := cfg.build(ctx, "dtls2", dir)
	if err != nil {
		s.tidy()
		return nil, err
	}
	var h hello
	if s, err = cfg.startOwn(ctx, s, cmd, map[string]string{"secret": cfg.Secret.Reveal()}, &h); err != nil {
		return nil, err
	}
	s.Addr, s.Version = h.Addr, h.Version
	return s, nil
}

// Figures asks a peer for its figures. If collect is true the peer collects its garbage first.
func (s *Server) Figures(collect bool) (f Figures, err error) {
	if s.talk == nil {
		return f, fmt.Errorf("%s has no figures", s.Name)
	}
	line := ""
	if collect {
		line = "collect"
	}
	if _, err = io.WriteString(s.talk.in, line+"\n"); err == nil {
		err = s.talk.read(&f)
	}
	if err != nil {
		err = fmt.Errorf("figures of %s: %w", s.Name, err)
	}
	return f, err
}

// build builds the program of a module under bench/peers into dir. Such a module has its own
// versions of all its dependencies.
func (c Config) build(ctx context.Context, module, dir string) (*exec.Cmd, error) {
	out := filepath.Join(dir, module)
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(c.Root, "bench", "peers", module),
		"-trimpath", "-o", out, ".")
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build bench/peers/%s: %w: %s", module, err, said)
	}
	return exec.Command(out), nil
}

// startOwn starts a peer that we wrote, sends it its order unless that is nil, and reads its first
// line into h. The peer ends when this process ends.
func (c Config) startOwn(ctx context.Context, s *Server, cmd *exec.Cmd, order, h any) (*Server, error) {
	said := &tail{}
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.talk = &talk{in, bufio.NewReader(out), out}
	return c.run(ctx, s, cmd, said, func(context.Context) error {
		if order != nil {
			if err := json.NewEncoder(in).Encode(order); err != nil {
				return err
			}
		}
		return s.talk.read(h)
	})
}

// read reads one line of JSON. It waits no longer than a peer may take.
func (t *talk) read(into any) error {
	if f, ok := t.end.(*os.File); ok {
		if err := f.SetReadDeadline(time.Now().Add(patient)); err != nil {
			return err
		}
	}
	line, err := t.out.ReadBytes('\n')
	if err != nil {
		if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
			err = errors.New("it has ended")
		}
		return err
	}
	return json.Unmarshal(line, into)
}
