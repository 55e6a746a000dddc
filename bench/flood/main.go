// Command flood sends a ClientHello to a gateway on this machine from many addresses and counts
// what they get back. It completes no handshake and sends to loopback only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"latchkey/bench/load"
)

func main() {
	f := load.Flood{}
	to := flag.String("to", "", "`address` of the gateway: 127.x.y.z:port")
	flag.IntVar(&f.Sources, "sources", 20_000, "how many addresses send one ClientHello each")
	flag.IntVar(&f.Rate, "rate", 5000, "ClientHellos a second")
	flag.DurationVar(&f.Delay, "delay", 60*time.Millisecond,
		"how long each address waits for answers")
	flag.Parse()
	if err := run(&f, *to); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(f *load.Flood, to string) (err error) {
	if flag.NArg() > 0 {
		return errors.New("there are flags only, no arguments")
	}
	if f.To, err = netip.ParseAddrPort(to); err != nil {
		return fmt.Errorf("-to %q: want a gateway of this machine, as 127.0.0.1:5684", to)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err = f.Run(ctx)
	f.Report(os.Stdout)
	return err
}
