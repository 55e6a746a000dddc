// Command latchkey-bench measures a gateway and the systems that people would use instead, on one
// machine over loopback, and writes the results as JSON, Markdown and pictures. bench/README.md
// says what each number includes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/report"
	"latchkey/bench/server"
	"latchkey/keys"
)

const usage = `latchkey-bench [flags]            measure
latchkey-bench -show FILE.json    write Markdown and pictures of an earlier run beside it

`

func main() {
	if server.IsServer(os.Args) {
		os.Exit(server.Main(os.Args))
	}
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	var o options
	flag.BoolVar(&o.full, "full", false, "the long form with every peer; without it a short form of a few "+
		"minutes with the peers that are installed")
	flag.StringVar(&o.only, "only", "", "only these scenarios, with commas between: "+
		strings.Join(names(), ","))
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each scenario, in which the systems take turns; 5 if "+
		"full, 3 otherwise")
	flag.StringVar(&o.out, "out", "", "folder for the results; without it only the table is printed")
	flag.StringVar(&o.root, "root", ".", "this repository, from which some peers are built")
	flag.StringVar(&o.commit, "commit", report.Commit(), "the commit to name in the results")
	flag.StringVar(&o.profiles, "profiles", "",
		"folder for a CPU profile of each server of ours; they are slower then")
	show := flag.String("show", "", "an earlier result.json to show again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case flag.NArg() > 0:
		err = fmt.Errorf("there are flags only, no arguments: %q", flag.Arg(0))
	case *show != "":
		err = showAgain(*show)
	default:
		err = measure(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "latchkey-bench:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	full                              bool
	only, out, root, commit, profiles string
	rounds                            int
	small                             bool // for a test: as little of everything as possible
}

// bench is a run that is under way.
type bench struct {
	options
	ctx          context.Context
	server, load []int // CPUs
	tmp          string
	secret       keys.Secret
	now          *report.Scenario // the scenario under way
	result       *report.Run
	progress     io.Writer
}

// scenario is one question, with the function that measures the answer.
type scenario struct {
	name, title, what string
	panel             *report.Panel
	run               func(b *bench) error
}

var scenarios = []scenario{tapScenario, coldScenario, handshakeScenario, throughputScenario, idleScenario,
	lossScenario, fleetScenario,
	storeScenario, bytesScenario, restartScenario, floodScenario, outsideScenario}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// pinned is set in the environment of this program when it runs on its own CPUs.
const pinned = "LATCHKEY_BENCH_PINNED"

func measure(ctx context.Context, o options) (err error) {
	if o.rounds < 0 || o.rounds > 100 {
		return fmt.Errorf("-rounds %d: want 1…100, or 0 for what the form says", o.rounds)
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	if o.rounds == 0 {
		o.rounds = 3
		if o.full {
			o.rounds = 5
		}
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	if missing := peer.Missing(); o.full && len(missing) > 0 {
		return fmt.Errorf("the full form needs every peer: install %s", strings.Join(missing, " "))
	}
	b := &bench{options: o, ctx: ctx, secret: keys.NewSecret(), progress: os.Stderr}
	if err := b.share(); err != nil {
		return err
	}
	if b.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if b.tmp, err = os.MkdirTemp("", "latchkey-bench"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	machine, err := report.ThisMachine(b.tmp)
	if err != nil {
		return err
	}
	machine.Server, machine.Load = b.server, b.load
	b.result = &report.Run{Form: "short", Began: time.Now().UTC(), Commit: o.commit, Machine: machine,
		Versions: report.Versions(), NotMeasured: notMeasured}
	if o.full {
		b.result.Form = "full"
	}
	var failed error
	for _, s := range chosen {
		began := time.Now()
		fmt.Fprintf(b.progress, "%s …", s.name)
		b.result.Scenarios = append(b.result.Scenarios,
			report.Scenario{Name: s.name, Title: s.title, What: s.what, Panel: s.panel})
		b.now = &b.result.Scenarios[len(b.result.Scenarios)-1]
		err := s.run(b)
		fmt.Fprintf(b.progress, " %.0f s\n", time.Since(began).Seconds())
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			fmt.Fprintln(b.progress, "  failed:", err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.result.Scenarios = slices.DeleteFunc(b.result.Scenarios,
		func(s report.Scenario) bool { return len(s.Figures) == 0 })
	b.result.Ended = time.Now().UTC()
	if o.out == "" {
		return errors.Join(failed, b.result.Markdown(os.Stdout))
	}
	return errors.Join(failed, writeRun(b.result, o.out, os.Stdout))
}

func choose(only string) (chosen []scenario, err error) {
	if only == "" {
		return scenarios, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no %q: want some of %s", name, strings.Join(names(), ","))
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

// share gives the servers the first CPU and this program the others, for which the program starts
// again. With only one CPU all share it.
func (b *bench) share() error {
	all, err := load.CPUs()
	if err != nil {
		return err
	}
	var server int
	switch n, err := fmt.Sscanf(os.Getenv(pinned), "%d", &server); {
	case n == 1 && err == nil:
		b.server, b.load = []int{server}, all
		return nil
	case len(all) < 2:
		fmt.Fprintln(b.progress, "there is only one CPU: servers and load share it")
		b.server, b.load = all, all
		return nil
	}
	if err := os.Setenv(pinned, fmt.Sprint(all[0])); err != nil {
		return err
	}
	return load.Pin(all[1:])
}

// writeRun writes the run with its pictures into a folder, and the table to w.
func writeRun(r *report.Run, dir string, w io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "result.json"))
	if err != nil {
		return err
	}
	if err := errors.Join(r.WriteJSON(f), f.Close()); err != nil {
		return err
	}
	return draw(r, dir, w)
}

func draw(r *report.Run, dir string, w io.Writer) error {
	pictures, err := r.Pictures(dir)
	if err != nil {
		return err
	}
	for i, p := range pictures {
		pictures[i] = filepath.Base(p)
	}
	f, err := os.Create(filepath.Join(dir, "README.md"))
	if err != nil {
		return err
	}
	if err := errors.Join(r.Markdown(f, pictures...), f.Close()); err != nil {
		return err
	}
	return r.Markdown(w)
}

func showAgain(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	r, err := report.ReadJSON(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return draw(r, filepath.Dir(file), os.Stdout)
}

// add adds one round's value of a figure.
func (b *bench) add(kase, system, metric, unit string, value float64, how ...func(*report.Figure)) {
	i := slices.IndexFunc(b.now.Figures, func(f report.Figure) bool {
		return f.Case == kase &&
			f.System == system && f.Metric == metric
	})
	if i < 0 {
		f := report.Figure{Case: kase, System: system, Metric: metric, Unit: unit}
		for _, h := range how {
			h(&f)
		}
		b.now.Figures = append(b.now.Figures, f)
		i = len(b.now.Figures) - 1
	}
	b.now.Figures[i].Rounds = append(b.now.Figures[i].Rounds, value)
}

// size returns how much of something is done in this form of the run.
func (b *bench) size(full, short, small int) int {
	switch {
	case b.full:
		return full
	case b.small:
		return small
	}
	return short
}

// Properties of a figure, for add.
func isMain(f *report.Figure) { f.Main = true }
func isMore(f *report.Figure) { f.More = true }
func note(text string) func(*report.Figure) {
	return func(f *report.Figure) { f.Note = text }
}

// addLatencies adds the metrics of one round's times, and merges the distribution into all.
func (b *bench) addLatencies(kase, system string, l *load.Latencies, all *curves,
	how ...func(*report.Figure)) {
	b.add(kase, system, "p50", "µs", l.At(50), append(how, isMain)...)
	b.add(kase, system, "p99", "µs", l.At(99))
	b.add(kase, system, "longest", "µs", l.Max())
	failed, _ := l.Failed()
	b.add(kase, system, "failed", "", float64(failed))
	all.merge(kase, system, l)
}

// curves holds the times of all rounds together.
type curves struct {
	order []string
	of    map[string]*load.Latencies
	kase  map[string][2]string
}

func newCurves() *curves {
	return &curves{of: map[string]*load.Latencies{}, kase: map[string][2]string{}}
}

func (c *curves) merge(kase, system string, l *load.Latencies) {
	key := kase + "\x00" + system
	if c.of[key] == nil {
		c.of[key] = load.NewLatencies()
		c.order = append(c.order, key)
		c.kase[key] = [2]string{kase, system}
	}
	c.of[key].Merge(l)
}

// addCurves adds the curves to the scenario that is under way.
func (b *bench) addCurves(c *curves) {
	for _, key := range c.order {
		b.now.Curves = append(b.now.Curves, report.Curve{Case: c.kase[key][0], System: c.kase[key][1],
			Points: c.of[key].Curve()})
	}
}

var notMeasured = []string{
	"No radio: everything is loopback, where nothing is lost and a datagram takes microseconds. WiFi adds " +
		"milliseconds to every figure, of every system.",
	"No Raspberry Pi, no SD card, no ESP8266: a server's CPU and a virtual disk whose sync is short.",
	"No relay, no lock: a door has opened when the node that drives it has switched its output.",
	"MQTT under loss, its throughput and handshakes: its transport is TCP, which the lossy proxy and the " +
		"CoAP generator do not speak.",
}
