// Package brokertest starts real message brokers for tests: RabbitMQ of the package
// rabbitmq-server, and a scripted AMQP 1.0 server of the package python3-qpid-proton. They listen
// on 127.0.0.1 only, keep everything in a temporary folder, and end with the test, also when it
// panics. It is for tests only.
package brokertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/testca"
	"latchkey/keys"
)

// scripts is where Debian has RabbitMQ's own programs. Those in /usr/sbin change the user.
const scripts = "/usr/lib/rabbitmq/bin/"

// startWithin bounds the start of a broker, which takes 10 s on two free cores.
const startWithin = 3 * time.Minute

// Rabbit is a RabbitMQ server. It speaks AMQP 0-9-1 and AMQP 1.0 on the same ports. Its user guest
// has the password guest and may do everything.
type Rabbit struct {
	Port, TLSPort string
	CA            *testca.Authority // signs for the server; clients are known by the name it gives them
	dir           string
	env           []string
	server, names *process // names is Erlang's epmd
}

// StartRabbit starts a server. Stop it.
func StartRabbit(t testing.TB) *Rabbit {
	t.Helper()
	for _, path := range []string{scripts + "rabbitmq-server", "epmd"} {
		if _, err := exec.LookPath(path); err != nil {
			t.Fatalf("%v: install the package rabbitmq-server", err)
		}
	}
	dir, err := os.MkdirTemp("", "latchkey-rabbitmq-")
	if err != nil {
		t.Fatal(err)
	}
	r := &Rabbit{dir: dir, CA: testca.New(t)}
	err = r.prepare(r.CA.Issue(t, "localhost"))
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		r.Stop()
		t.Fatal(err)
	}
	return r
}

// prepare writes the configuration, and starts the program that Erlang finds its nodes by.
func (r *Rabbit) prepare(cert, key string) error {
	var ports [5]string
	for i := range ports {
		var err error
		if ports[i], err = findPort(); err != nil {
			return err
		}
	}
	r.Port, r.TLSPort = ports[0], ports[1]
	if err := r.writeFiles(cert, key); err != nil {
		return err
	}
	const local = "-kernel inet_dist_use_interface {127,0,0,1}"
	r.env = append(os.Environ(), "HOME="+r.dir,
		"RABBITMQ_NODENAME=latchkey"+r.Port+"@localhost",
		"RABBITMQ_MNESIA_BASE="+filepath.Join(r.dir, "data"), "RABBITMQ_LOG_BASE="+filepath.Join(r.dir, "log"),
		"RABBITMQ_CONFIG_FILE="+filepath.Join(r.dir, "rabbitmq.conf"),
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(r.dir, "none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(r.dir, "plugins"),
		"RABBITMQ_DIST_PORT="+ports[2],
		"RABBITMQ_CTL_DIST_PORT_MIN="+ports[3], "RABBITMQ_CTL_DIST_PORT_MAX="+ports[3],
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+local, "RABBITMQ_CTL_ERL_ARGS="+local,
		"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+ports[4],
		// The script then becomes the server, so that a signal reaches it.
		"RABBITMQ_ALLOW_INPUT=1", "RABBITMQ_SERVER_START_ARGS=-noinput")
	epmd := exec.Command("epmd", "-d", "-d", "-address", "127.0.0.1", "-port", ports[4])
	epmd.Env = r.env
	var err error
	r.names, err = startProcess("entering the main select() loop", startWithin, epmd)
	return err
}

func (r *Rabbit) writeFiles(cert, key string) error {
	conf := "listeners.tcp.1 = 127.0.0.1:" + r.Port + "\nlisteners.ssl.1 = 127.0.0.1:" + r.TLSPort + `
ssl_options.cacertfile = DIR/ca.pem
ssl_options.certfile = DIR/cert.pem
ssl_options.keyfile = DIR/key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
disk_free_limit.absolute = 1MB
`
	var all []error
	for name, text := range map[string]string{"rabbitmq.conf": strings.ReplaceAll(conf, "DIR", r.dir),
		"plugins": "[rabbitmq_amqp1_0,rabbitmq_auth_mechanism_ssl].\n", "ca.pem": r.CA.PEM,
		"cert.pem": cert, "key.pem": key} {
		all = append(all, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
	}
	return errors.Join(all...)
}

// Start starts the server again after Halt or Kill, with the messages and users that it had.
func (r *Rabbit) Start() error {
	cmd := exec.Command(scripts + "rabbitmq-server")
	cmd.Env, cmd.Dir = r.env, r.dir
	var err error
	r.server, err = startProcess("Starting broker... completed", startWithin, cmd)
	return err
}

// Kill ends the server at once, like a crash. Start starts it again. What was declared is on the
// disk by then, which is otherwise so after some seconds only; messages get no such help.
func (r *Rabbit) Kill() error {
	err := r.Control("eval", "mnesia:sync_log().")
	r.server.end(os.Kill)
	return err
}

// Halt ends the server in order. Start starts it again.
func (r *Rabbit) Halt() { r.server.end(syscall.SIGTERM) }

// Stop ends the server for good and removes its files.
func (r *Rabbit) Stop() {
	for _, p := range []*process{r.server, r.names} {
		if p != nil {
			p.end(os.Kill)
		}
	}
	_ = os.RemoveAll(r.dir)
}

// Control runs rabbitmqctl.
func (r *Rabbit) Control(args ...string) error {
	cmd := exec.Command(scripts+"rabbitmqctl", append([]string{"--quiet", "--timeout", "120"}, args...)...)
	cmd.Env, cmd.Dir = r.env, r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("brokertest: rabbitmqctl %s: %w: %s", args[0], err, out)
	}
	return nil
}

// AddUser adds a user who may write to what the pattern matches, and may read all.
func (r *Rabbit) AddUser(name, password, write string) error {
	if err := r.Control("add_user", name, password); err != nil && r.Control("change_password", name, password) != nil {
		return err // and so it is not there already, from an earlier run of the test
	}
	return r.Control("set_permissions", name, ".*", write, ".*")
}

// Endpoint returns the address of the server without TLS, for guest.
func (r *Rabbit) Endpoint() endpoint.Endpoint {
	return endpoint.Endpoint{URL: "amqp://127.0.0.1:" + r.Port, User: "guest", Password: keys.Hide("guest"),
		Private: true}
}
