// Package brokertest has what tests of senders need with message brokers: RabbitMQ of package
// broker, with certificates, and a scripted AMQP 1.0 server of Debian's package
// python3-qpid-proton. Its own tests are those of both AMQP senders against RabbitMQ, because a
// start of it takes long. It is for tests only.
package brokertest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/sink/broker"
)

// Rabbit is a RabbitMQ server with TLS.
type Rabbit struct {
	*broker.Rabbit
	CA *testca.Authority // signs for the server; clients are known by the name it gives them
}

// StartRabbit starts a server. Stop it.
func StartRabbit(t testing.TB) *Rabbit {
	t.Helper()
	ca := testca.New(t)
	cert, key := ca.Issue(t, "localhost")
	r, err := broker.StartRabbit(broker.Config{CA: ca.PEM, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return &Rabbit{r, ca}
}

// Shared returns a function that starts a server when it is first called, for all tests of a
// package, and one that stops it.
func Shared() (use func(testing.TB) *Rabbit, stop func()) {
	var once sync.Once
	var r *Rabbit
	use = func(t testing.TB) *Rabbit {
		t.Helper()
		once.Do(func() { r = StartRabbit(t) })
		if r == nil {
			t.Fatal("the server did not start")
		}
		return r
	}
	return use, func() {
		if r != nil {
			r.Stop()
		}
	}
}

// Main runs the tests of a package, then stops what they started, and fails if a goroutine is left.
// stops may name brokers that no test has started.
func Main(m *testing.M, stops ...func()) {
	code := m.Run()
	for _, stop := range stops {
		stop()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
