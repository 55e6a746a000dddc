package demo

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"latchkey/keys"
)

// The users at the demo's broker.
const (
	gatewayUser = "latchkey"
	homeUser    = "homeassistant"
)

// broker is a running MQTT broker, on this machine only.
type broker struct {
	name string // for people
	addr string // host:port
	stop func()
}

// users are the passwords of those who may connect to the broker.
type users map[string]keys.Hidden

// startBroker starts a broker. It may use the folder, which exists.
type startBroker func(ctx context.Context, dir string, who users, rights string) (broker, error)

// startAnyBroker starts mosquitto if it is installed, and otherwise a broker in this process.
func startAnyBroker(ctx context.Context, dir string, who users, rights string) (broker, error) {
	b, err := startMosquitto(ctx, dir, who, rights)
	if err == nil || ctx.Err() != nil {
		return b, err
	}
	why := err.Error()
	if errors.Is(err, exec.ErrNotFound) {
		why = "mosquitto is not installed"
	}
	b, err = startInProcess(ctx, dir, who, rights)
	b.name += " (" + why + ")"
	return b, err
}

// brokerPatience bounds the start of mosquitto.
const brokerPatience = 15 * time.Second

// startMosquitto starts Debian's mosquitto. The error is exec.ErrNotFound if it is not installed.
func startMosquitto(ctx context.Context, dir string, who users, rights string) (broker, error) {
	program, err := lookUpProgram("mosquitto")
	if err != nil {
		return broker{}, err
	}
	hasher, err := lookUpProgram("mosquitto_passwd")
	if err != nil {
		return broker{}, err
	}
	addr, err := findAddr()
	if err != nil {
		return broker{}, err
	}
	var lines strings.Builder
	for user, password := range who {
		fmt.Fprintf(&lines, "%s:%s\n", user, password.Reveal())
	}
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(dir, "mosquitto.conf")
	for path, text := range map[string]string{
		filepath.Join(dir, "users"): lines.String(), filepath.Join(dir, "acl"): rights,
		conf: fmt.Sprintf("user root\nlistener %s 127.0.0.1\nallow_anonymous false\npassword_file %s/users\n"+
			"acl_file %s/acl\npersistence false\nset_tcp_nodelay true\nlog_dest stderr\nlog_type error\n",
			port, dir, dir),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return broker{}, fmt.Errorf("demo: %w", err)
		}
	}
	// It hashes the passwords in the file, so that none is an argument, which everybody can read.
	out, err := exec.CommandContext(ctx, hasher, "-U", filepath.Join(dir, "users")).CombinedOutput()
	if err != nil {
		return broker{}, fmt.Errorf("demo: mosquitto_passwd: %w: %s", err, out)
	}
	said := &strings.Builder{}
	cmd := exec.Command(program, "-c", conf)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = said, said, endWithUs()
	if err := cmd.Start(); err != nil {
		return broker{}, fmt.Errorf("demo: mosquitto: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b := broker{name: "mosquitto", addr: addr, stop: func() { _ = cmd.Process.Kill(); <-ended }}
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			return b, c.Close()
		}
		select {
		case err := <-ended:
			return broker{}, fmt.Errorf("demo: mosquitto has ended: %w: %s", err, said)
		case <-ctx.Done():
			b.stop()
			return broker{}, fmt.Errorf("demo: mosquitto does not listen on %s: %w", addr, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lookUpProgram finds a program, also where only root's PATH leads.
func lookUpProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		return "", fmt.Errorf("demo: %s: %w", name, exec.ErrNotFound)
	}
	return path, nil
}

// findAddr finds a free port of this machine.
func findAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// startInProcess starts a broker in this process, with the same users and rights.
func startInProcess(_ context.Context, _ string, who users, rights string) (broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return broker{}, fmt.Errorf("demo: %w", err)
	}
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	err = s.AddHook(&doorkeeper{passwords: who, rights: parseRights(rights)}, nil)
	if err == nil {
		err = s.AddListener(listeners.NewNet("demo", l))
	}
	if err == nil {
		err = s.Serve()
	}
	if err != nil {
		_ = l.Close()
		return broker{}, fmt.Errorf("demo: broker: %w", err)
	}
	return broker{name: "a broker inside this program", addr: l.Addr().String(),
		stop: func() { _ = s.Close() }}, nil
}

// right lets a user read or write the topics of a filter.
type right struct {
	user, filter string
	read, write  bool
}

// parseRights reads the text of an access list.
func parseRights(text string) (all []right) {
	user := ""
	for line := range strings.Lines(text) {
		switch w := strings.Fields(line); {
		case len(w) == 2 && w[0] == "user":
			user = w[1]
		case len(w) == 3 && w[0] == "topic":
			read, write := strings.HasPrefix(w[1], "read"), strings.HasSuffix(w[1], "write")
			all = append(all, right{user, w[2], read, write})
		}
	}
	return all
}

// doorkeeper tells the broker in this process who may connect, and who may do what.
type doorkeeper struct {
	mochi.HookBase
	passwords users
	rights    []right
}

func (*doorkeeper) ID() string { return "demo" }

func (*doorkeeper) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (d *doorkeeper) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	password, ok := d.passwords[string(pk.Connect.Username)]
	return ok && subtle.ConstantTimeCompare([]byte(password.Reveal()), pk.Connect.Password) == 1
}

func (d *doorkeeper) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	return slices.ContainsFunc(d.rights, func(r right) bool {
		return r.user == string(c.Properties.Username) && (write && r.write || !write && r.read) &&
			covers(r.filter, topic)
	})
}

// covers tells whether a topic filter matches a topic, or another filter that is not wider.
func covers(filter, topic string) bool {
	have := strings.Split(topic, "/")
	for i, part := range strings.Split(filter, "/") {
		switch {
		case part == "#":
			return true
		case i >= len(have) || have[i] == "#" || part != "+" && part != have[i]:
			return false
		}
	}
	return strings.Count(filter, "/") == len(have)-1
}
