// Command idle says what an idle session costs a server: memory and goroutines, with so many of them held. It does so for our transport, for the
// whole gateway and for stock go-coap, each in a process of its own, with the same nodes, and speaks to loopback alone.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What a run may be.
const (
	maxSessions = 20_000
	maxRounds   = 10
	maxIdle     = 10 * time.Minute
	spareFiles  = 64 // of the file limit, for all that is no node's socket
)

func main() {
	if isServer() {
		os.Exit(serverMain())
	}
	r := run{}
	names := flag.String("servers", strings.Join(servers, ","), "which of them")
	flag.IntVar(&r.sessions, "sessions", 1000, "how many sessions are held at once")
	flag.IntVar(&r.rounds, "rounds", 1, "how often each server is measured, in turn; the table has medians")
	flag.DurationVar(&r.idle, "idle", 3*time.Second, "how long the sessions are idle before they are counted, and the server after they have ended")
	asJSON := flag.Bool("json", false, "print every round as JSON instead of the table")
	flag.Parse()
	r.servers = strings.Split(*names, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := r.check(flag.NArg())
	if err == nil {
		r.fit(os.Stderr)
		err = r.measure(ctx)
	}
	if err == nil {
		err = r.print(os.Stdout, *asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

// run is what was asked for, and what came of it.
type run struct {
	servers          []string
	sessions, rounds int
	idle             time.Duration
	rows             []row
}

// row is one round of one server.
type row struct {
	Server   string  `json:"server"`
	Sessions int     `json:"sessions"` // counted by the server
	Answered int     `json:"answered"` // of those asked for something after the idle time: all of them
	Before   figures `json:"before"`   // without a session
	With     figures `json:"with"`
	After    figures `json:"after"` // when all have ended

	RSS        int64   `json:"rssPerSession"`  // bytes
	Memory     int64   `json:"heapPerSession"` // bytes of heap and stacks in use
	Goroutines float64 `json:"goroutinesPerSession"`
}

func (r *run) check(rest int) error {
	for _, name := range r.servers {
		if !slices.Contains(servers, name) {
			return fmt.Errorf("--servers: there is no %q: want some of %s", name, strings.Join(servers, ","))
		}
	}
	switch {
	case rest > 0:
		return errors.New("there are flags only, no arguments")
	case r.sessions < 1 || r.sessions > maxSessions:
		return fmt.Errorf("--sessions %d: want 1…%d", r.sessions, maxSessions)
	case r.rounds < 1 || r.rounds > maxRounds:
		return fmt.Errorf("--rounds %d: want 1…%d", r.rounds, maxRounds)
	case r.idle < 0 || r.idle > maxIdle:
		return fmt.Errorf("--idle %v: want no more than %v", r.idle, maxIdle)
	}
	return nil
}

// fit holds the sessions to what the file limit allows, which Go has raised as far as it may: each node has a socket of its own.
func (r *run) fit(w io.Writer) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if room := int64(limit.Cur) - spareFiles; room < int64(r.sessions) {
		fmt.Fprintf(w, "idle: only %d sessions instead of %d: the file limit is %d; root may raise it with ulimit -n\n", max(room, 1), r.sessions, limit.Cur)
		r.sessions = int(max(room, 1))
	}
}

// measure takes the servers in turn, so that what else the machine does meets them all.
func (r *run) measure(ctx context.Context) error {
	for range r.rounds {
		for _, name := range r.servers {
			w, err := r.one(ctx, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r.rows = append(r.rows, w)
		}
	}
	return nil
}

// one measures one server.
func (r *run) one(ctx context.Context, name string) (w row, err error) {
	s, err := start(ctx, name, r.sessions)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	w.Server = name
	if w.Before, err = s.figures(); err != nil {
		return w, err
	}
	ns, err := connect(ctx, s.addr, s.secret, r.sessions)
	defer ns.end()
	if err != nil {
		return w, err
	}
	if err := rest(ctx, r.idle); err != nil {
		return w, err
	}
	if w.With, err = s.figures(); err != nil {
		return w, err
	}
	if w.Sessions = w.With.Sessions; w.Sessions != r.sessions {
		return w, fmt.Errorf("%d sessions after %v, want %d", w.Sessions, r.idle, r.sessions)
	}
	if w.Answered, err = ns.ask(samples); err != nil {
		return w, err
	}
	ns.end()
	if w.After, err = s.settle(ctx, r.idle); err != nil {
		return w, err
	}
	n := int64(w.Sessions)
	w.RSS = (w.With.RSS - w.Before.RSS) / n
	w.Memory = (w.With.Heap + w.With.Stack - w.Before.Heap - w.Before.Stack) / n
	w.Goroutines = float64(w.With.Goroutines-w.Before.Goroutines) / float64(n)
	return w, nil
}

func (r *run) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			CPUs int    `json:"cpus"`
			Go   string `json:"go"`
			Rows []row  `json:"rows"`
		}{runtime.NumCPU(), runtime.Version(), r.rows})
	}
	var b strings.Builder
	b.WriteString("| server | sessions | RSS before / with / after, MB | RSS at most, MB | RSS per session, bytes | heap and stacks per session, bytes | goroutines per session |\n")
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for _, name := range r.servers {
		var of []row
		for _, x := range r.rows {
			if x.Server == name {
				of = append(of, x)
			}
		}
		mb := func(f func(row) int64) string { return fmt.Sprintf("%.1f", float64(median(of, f))/1e6) }
		fmt.Fprintf(&b, "| %s | %d | %s / %s / %s | %s | %s | %s | %s |\n", name, of[0].Sessions,
			mb(func(x row) int64 { return x.Before.RSS }), mb(func(x row) int64 { return x.With.RSS }), mb(func(x row) int64 { return x.After.RSS }),
			mb(func(x row) int64 { return x.With.Peak }),
			spread(of, "%d", func(x row) int64 { return x.RSS }), spread(of, "%d", func(x row) int64 { return x.Memory }),
			spread(of, "%.2f", func(x row) float64 { return x.Goroutines }))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func sorted[T cmp.Ordered](rows []row, f func(row) T) []T {
	var all []T
	for _, r := range rows {
		all = append(all, f(r))
	}
	slices.Sort(all)
	return all
}

// median is the middle of the rounds; of an even number, the lower of the two.
func median[T cmp.Ordered](rows []row, f func(row) T) T { return sorted(rows, f)[(len(rows)-1)/2] }

// spread is the median, with the least and the most where there is more than one round.
func spread[T cmp.Ordered](rows []row, format string, f func(row) T) string {
	all := sorted(rows, f)
	s := fmt.Sprintf(format, median(rows, f))
	if low, high := fmt.Sprintf(format, all[0]), fmt.Sprintf(format, all[len(all)-1]); low != high {
		s += " (" + low + "–" + high + ")"
	}
	return s
}
