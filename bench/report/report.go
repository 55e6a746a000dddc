// Package report stores the results of a run of the benchmarks, as figures with all their rounds,
// and shows them as JSON, Markdown and pictures. It measures nothing.
package report

import "time"

// Run holds all results of one run, and the machine that it ran on.
type Run struct {
	Form        string            `json:"form"` // "short" or "full"
	Began       time.Time         `json:"began"`
	Ended       time.Time         `json:"ended"`
	Commit      string            `json:"commit"` // of the sources; "+changes" behind it if they were changed
	Machine     Machine           `json:"machine"`
	Versions    map[string]string `json:"versions"`    // of each program and library measured, by name
	NotMeasured []string          `json:"notMeasured"` // a sentence each
	Scenarios   []Scenario        `json:"scenarios"`
}

// Machine is where the run was.
type Machine struct {
	CPU      string `json:"cpu"` // model name
	CPUs     int    `json:"cpus"`
	Server   []int  `json:"serverCPUs"`    // those that servers were kept to
	Load     []int  `json:"generatorCPUs"` // those that the load came from
	Memory   int64  `json:"memory"`        // bytes
	Kernel   string `json:"kernel"`
	System   string `json:"system"` // name of the distribution
	Arch     string `json:"arch"`
	Disk     string `json:"disk"` // file system of the stores' folder
	Governor string `json:"governor,omitempty"`
}

// Scenario is one question and its figures.
type Scenario struct {
	Name    string   `json:"name"`  // "throughput"; of a-z, 0-9 and "-", as pictures are named after it
	Title   string   `json:"title"` // "Requests and what they cost"
	What    string   `json:"what"`  // what is in the numbers, in a few sentences
	Figures []Figure `json:"figures"`
	Curves  []Curve  `json:"curves,omitempty"`
	Panel   *Panel   `json:"overview,omitempty"` // what of it the overview shows, if anything
}

// Panel is what the overview shows of a scenario: one metric of one case, or its curves.
type Panel struct {
	Title  string `json:"title"`
	Case   string `json:"case,omitempty"`
	Metric string `json:"metric,omitempty"` // empty for the curves
}

// Figure is one measured quantity of one system. Ratios and medians are worked out when it is
// shown.
type Figure struct {
	Case   string    `json:"case,omitempty"` // "16 sessions"
	System string    `json:"system"`         // "latchkey", "libcoap-gnutls", "floor"; see Floor
	Metric string    `json:"metric"`         // "p99"
	Unit   string    `json:"unit"`           // "µs", "s", "1/s", "B", "KB", …; empty for a count
	More   bool      `json:"moreIsBetter,omitempty"`
	Main   bool      `json:"main,omitempty"` // the metric by which systems are compared in this scenario
	Rounds []float64 `json:"rounds"`
	Note   string    `json:"note,omitempty"` // about this row; shown under the table
}

// Floor is the system that does as little as possible. All others are also shown as a multiple of
// it.
const Floor = "floor"

// Own begins the name of every system that is ours; the rest are peers.
const Own = "latchkey"

// Curve is the distribution of one system's latencies, of all rounds together.
type Curve struct {
	Case   string       `json:"case,omitempty"`
	System string       `json:"system"`
	Points [][2]float64 `json:"points"` // percentile 0…100, µs
}
