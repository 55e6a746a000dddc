// Package broker starts a real message broker: RabbitMQ of Debian's package rabbitmq-server. It
// listens on 127.0.0.1 only, keeps everything in a temporary folder, and ends with this program,
// also when that panics. It is for tests and benchmarks only.
package broker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"latchkey/gateway/endpoint"
	"latchkey/keys"
)

// program is Debian's own script. The one in /usr/sbin changes the user.
const program = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// within bounds the start of the server, what is asked of it and what is read. A start takes four
// seconds of one core.
const within = 3 * time.Minute

// Config says how the server runs. The zero Config is without TLS and on any processor.
type Config struct {
	// CA, Cert and Key are PEM, for TLS. A client certificate of CA signs in the user that its
	// common name gives.
	CA, Cert, Key string

	// CPUs are the processors that the server may use, as the kernel numbers them. Empty: any.
	CPUs []int
}

// Rabbit is a RabbitMQ server. It speaks AMQP 0-9-1 and AMQP 1.0 on the same ports. Its user guest
// has the password guest and may do everything.
type Rabbit struct {
	Port    string
	TLSPort string // without TLS there is nothing

	dir           string
	env           []string
	cpus          []int
	server, names *Process // names is Erlang's epmd

	asked atomic.Int64 // counts what was asked of the server
}

// Installed returns an error that says what to install, unless RabbitMQ is here.
func Installed() error {
	for _, path := range []string{program, "epmd"} {
		if _, err := exec.LookPath(path); err != nil {
			return fmt.Errorf("%s is not here: install Debian's rabbitmq-server", filepath.Base(path))
		}
	}
	return nil
}

// StartRabbit starts a server. Stop it.
func StartRabbit(c Config) (*Rabbit, error) {
	if err := Installed(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "latchkey-rabbitmq-")
	if err != nil {
		return nil, err
	}
	r := &Rabbit{dir: dir, cpus: c.CPUs}
	if err := r.prepare(c); err != nil {
		r.Stop()
		return nil, err
	}
	if err := r.Start(); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// prepare writes the configuration, and starts the program that Erlang finds its nodes by.
func (r *Rabbit) prepare(c Config) error {
	var ports [4]string
	for i := range ports {
		var err error
		if ports[i], err = FindPort(); err != nil {
			return err
		}
	}
	r.Port, r.TLSPort = ports[0], ports[1]
	if err := r.writeFiles(c); err != nil {
		return err
	}
	r.env = append(os.Environ(), "HOME="+r.dir,
		"RABBITMQ_NODENAME=latchkey"+r.Port+"@localhost",
		"RABBITMQ_MNESIA_BASE="+r.path("data"), "RABBITMQ_LOG_BASE="+r.path("log"),
		"RABBITMQ_CONFIG_FILE="+r.path("rabbitmq.config"), "RABBITMQ_CONF_ENV_FILE="+r.path("none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+r.path("plugins"), "RABBITMQ_DIST_PORT="+ports[2],
		// One thread runs all of Erlang: the start is shorter.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
		"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+ports[3],
		// The script then becomes the server, so that a signal reaches it, and the server reads
		// Erlang from its standard input, which is much shorter than to start rabbitmqctl.
		"RABBITMQ_ALLOW_INPUT=1")
	epmd := exec.Command("epmd", "-d", "-d", "-address", "127.0.0.1", "-port", ports[3])
	epmd.Env = r.env
	var err error
	r.names, err = StartProcess("entering the main select() loop", epmd)
	return err
}

func (r *Rabbit) path(name string) string { return filepath.Join(r.dir, name) }

func (r *Rabbit) writeFiles(c Config) error {
	// As Erlang's own terms, which are read sooner than rabbitmq.conf.
	conf := `[{rabbit, [
	{tcp_listeners, [{"127.0.0.1", ` + r.Port + `}]},
	{disk_free_limit, 1000000},
	TLS
	{auth_mechanisms, ['PLAIN', 'EXTERNAL']}]}].
`
	tls := ""
	if c.CA != "" {
		tls = fmt.Sprintf(`{ssl_listeners, [{"127.0.0.1", %s}]},
	{ssl_cert_login_from, common_name},
	{ssl_options, [{cacertfile, %q}, {certfile, %q}, {keyfile, %q},
		{verify, verify_peer}, {fail_if_no_peer_cert, false}]},`,
			r.TLSPort, r.path("ca.pem"), r.path("cert.pem"), r.path("key.pem"))
	}
	var all []error
	for name, text := range map[string]string{"rabbitmq.config": strings.Replace(conf, "TLS", tls, 1),
		"plugins": "[rabbitmq_amqp1_0, rabbitmq_auth_mechanism_ssl].\n",
		"ca.pem":  c.CA, "cert.pem": c.Cert, "key.pem": c.Key} {
		all = append(all, os.WriteFile(r.path(name), []byte(text), 0o600))
	}
	return errors.Join(all...)
}

// Start starts the server again after Kill, with the messages and users that it had.
func (r *Rabbit) Start() error {
	cmd := exec.Command(program)
	if len(r.cpus) > 0 {
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(r.cpus), " ", ","), "[]")
		cmd = exec.Command("taskset", "--cpu-list", list, program)
	}
	cmd.Env, cmd.Dir = r.env, r.dir
	var err error
	r.server, err = StartProcess(" completed with ", cmd)
	return err
}

// Kill ends the server at once, like a crash. Start starts it again. What was declared is on the
// disk by then, which is otherwise so after some seconds only; messages get no such help.
func (r *Rabbit) Kill() error {
	err := r.eval("mnesia:sync_log()")
	r.server.End(os.Kill)
	return err
}

// Halt ends the server in order, as rabbitmqctl stop_app does: its connections and then its ports
// are closed. Resume starts it again.
func (r *Rabbit) Halt() error { return r.eval("rabbit:stop()") }

// Resume starts the server again after Halt, with the messages and users that it had.
func (r *Rabbit) Resume() error { return r.eval("rabbit:start()") }

// Stop ends the server for good and removes its files.
func (r *Rabbit) Stop() {
	for _, p := range []*Process{r.server, r.names} {
		if p != nil {
			p.End(os.Kill)
		}
	}
	_ = os.RemoveAll(r.dir)
}

// eval evaluates an expression of Erlang in the server, and returns an error unless its value is ok.
func (r *Rabbit) eval(format string, names ...string) error {
	var quoted []any
	for _, name := range names {
		quoted = append(quoted, "<<"+strconv.Quote(name)+">>")
	}
	expression := fmt.Sprintf(format, quoted...)
	mark := fmt.Sprintf("answer %d: ", r.asked.Add(1))
	line, err := r.server.ask(fmt.Sprintf(
		`io:format("~n%s~0p~n", [fun() -> try %s catch _:E -> E end end()]).`, mark, expression), mark)
	if err != nil {
		return err
	}
	if _, value, _ := strings.Cut(line, mark); value != "ok" {
		return fmt.Errorf("broker: %s: %s", expression, value)
	}
	return nil
}

// AddUser adds a user who may write to what the pattern matches, and may read all.
func (r *Rabbit) AddUser(name, password, write string) error {
	return errors.Join(
		r.eval(`begin catch rabbit_auth_backend_internal:delete_user(%[1]s, <<"test">>),
			rabbit_auth_backend_internal:add_user(%[1]s, %[2]s, <<"test">>) end`, name, password),
		r.SetPermissions(name, ".*", write, ".*"))
}

// SetPermissions gives a user the rights to make, to write to and to read what the patterns match.
func (r *Rabbit) SetPermissions(name, configure, write, read string) error {
	return r.eval(`rabbit_auth_backend_internal:set_permissions(%s, <<"/">>, %s, %s, %s, <<"test">>)`,
		name, configure, write, read)
}

// ClearPermissions takes all rights from a user.
func (r *Rabbit) ClearPermissions(name string) error {
	return r.eval(`rabbit_auth_backend_internal:clear_permissions(%s, <<"/">>, <<"test">>)`, name)
}

// RemoveUser removes a user.
func (r *Rabbit) RemoveUser(name string) error {
	return r.eval(`rabbit_auth_backend_internal:delete_user(%s, <<"test">>)`, name)
}

// CloseConnections makes the server close the connections of all users. It tells the clients of
// AMQP 0-9-1 why. Those of AMQP 1.0 it does not know as connections, so they are cut.
func (r *Rabbit) CloseConnections() error {
	return errors.Join(r.eval(`lists:foreach(fun(C) -> catch rabbit_reader:shutdown(C, "test") end,
			rabbit_networking:connections())`),
		r.eval(`lists:foreach(fun(C) -> exit(C, kill) end,
			[C || Port <- maps:keys(ranch:info()), C <- ranch:procs(Port, connections)])`))
}

// LimitQueue lets a queue hold at most one message, until UnlimitQueues.
func (r *Rabbit) LimitQueue(name string) error {
	return r.eval(`rabbit_policy:parse_set(<<"/">>, <<"full">>, %s, %s, 0, <<"queues">>, <<"test">>)`,
		"^"+name+"$", `{"max-length":1}`)
}

// UnlimitQueues takes back what LimitQueue did.
func (r *Rabbit) UnlimitQueues() error {
	return r.eval(`rabbit_policy:delete(<<"/">>, <<"full">>, <<"test">>)`)
}

// LimitMemory sets the part of the machine's memory above which the server takes no messages: 0
// stops them, 0.4 is the usual one.
func (r *Rabbit) LimitMemory(part float64) error {
	return r.eval(fmt.Sprintf("vm_memory_monitor:set_vm_memory_high_watermark(%g)", part))
}

// Endpoint returns the address of the server without TLS, for guest.
func (r *Rabbit) Endpoint() endpoint.Endpoint {
	return endpoint.Endpoint{URL: "amqp://127.0.0.1:" + r.Port, User: "guest", Password: keys.Hide("guest"),
		Private: true}
}
