package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// StartBroker starts mosquitto. It takes anybody on loopback, without TLS.
func StartBroker(ctx context.Context, cfg Config) (*Server, error) {
	path, err := findProgram("mosquitto")
	if err != nil {
		return nil, err
	}
	return cfg.startConfigured(ctx, "mosquitto", path, func(_ string, port int) string {
		return fmt.Sprintf("user root\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 0\n"+
			"log_dest stderr\nlog_type error\nlistener %d 127.0.0.1\nallow_anonymous true\n", port)
	})
}

// StartNATS builds NATS's own server, starts it, and makes a JetStream stream on disk for latchkey.>.
func StartNATS(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := os.MkdirTemp("", "latchkey-nats-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "natsserver")
	at := filepath.Join(cfg.Root, "gateway", "sink", "natsout", "peers", "natsserver")
	said, err := exec.CommandContext(ctx, "go", "build", "-C", at, "-o", path, ".").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build natsserver: %w: %s", err, said)
	}
	s, err := cfg.startConfigured(ctx, "nats-server", path, func(dir string, port int) string {
		return fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\n", port,
			filepath.Join(dir, "store"))
	})
	if err != nil {
		return nil, err
	}
	if err := makeStream(ctx, s.Addr); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// startConfigured starts a program whose only argument is a configuration.
func (c Config) startConfigured(ctx context.Context, name, path string,
	configure func(dir string, port int) string) (*Server, error) {
	dir, err := os.MkdirTemp("", "latchkey-"+name+"-")
	if err != nil {
		return nil, err
	}
	tidy := func() { _ = os.RemoveAll(dir) }
	ports, err := findFreePorts(1)
	conf := filepath.Join(dir, "conf")
	if err == nil {
		err = os.WriteFile(conf, []byte(configure(dir, ports[0])), 0o600)
	}
	if err != nil {
		tidy()
		return nil, err
	}
	args := []string{conf}
	if name == "mosquitto" {
		args = []string{"-c", conf}
	}
	cmd := exec.Command(path, args...)
	in, err := cmd.StdinPipe() // natsserver ends with it
	if err != nil {
		tidy()
		return nil, err
	}
	s := &Server{Name: name, Addr: localAddr(ports[0]), tidy: func() { _ = in.Close(); tidy() }}
	return c.launch(ctx, s, cmd, func(ctx context.Context) error { return poll(ctx, tryConnect(s.Addr)) })
}

// makeStream asks for a stream as any client of NATS can: by a message to JetStream's own subject.
func makeStream(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ask := `{"name":"latchkey","subjects":["latchkey.>"],"storage":"file","retention":"limits",` +
		`"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"num_replicas":1}`
	if _, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false}\r\nSUB answer 1\r\n"+
		"PUB $JS.API.STREAM.CREATE.latchkey answer %d\r\n%s\r\n", len(ask), ask); err != nil {
		return err
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "{") {
			if strings.Contains(line, `"error"`) {
				return fmt.Errorf("nats: %s", line)
			}
			return nil
		}
	}
	return errors.New("nats: no answer about the stream")
}

// WatchNATS calls each with every event that the server passes on, and when it came, until end is
// called. It reads as any client of NATS can.
func WatchNATS(ctx context.Context, addr string, each func(body []byte, came time.Time)) (end func() error,
	err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	const hello = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB latchkey.> 1\r\nPING\r\n"
	if _, err := fmt.Fprint(conn, hello); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	subscribed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		readNATS(conn, subscribed, each)
	}()
	end = func() error { err := conn.Close(); <-ended; return err }
	select {
	case <-subscribed:
		return end, nil
	case <-ended:
	case <-time.After(patient):
	}
	return nil, errors.Join(errors.New("nats: nobody may read events there"), end())
}

// readNATS reads messages until the connection ends. It closes subscribed at the first PONG.
func readNATS(conn net.Conn, subscribed chan<- struct{}, each func(body []byte, came time.Time)) {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch words := strings.Fields(line); {
		case len(words) == 0:
		case words[0] == "PONG" && subscribed != nil:
			close(subscribed)
			subscribed = nil
		case words[0] == "PING":
			_, err = fmt.Fprint(conn, "PONG\r\n")
		case words[0] == "MSG" || words[0] == "HMSG": // the last words are lengths, of the headers first
			var headers, all int
			if all, err = strconv.Atoi(words[len(words)-1]); err == nil && words[0] == "HMSG" {
				headers, err = strconv.Atoi(words[len(words)-2])
			}
			if err != nil || headers > all || all > 1<<20 {
				return
			}
			body := make([]byte, all)
			if _, err = io.ReadFull(in, body); err == nil {
				each(body[headers:], time.Now())
			}
		}
		if err != nil {
			return
		}
	}
}
