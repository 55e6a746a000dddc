// Package report stores the results of a run of the benchmarks, as figures with all their rounds,
// and writes them as JSON, Markdown and pictures. It measures nothing.
package report

import "time"

// Run holds all results of one run, and the machine that it ran on.
type Run struct {
	Form        string            `json:"form"` // "short" or "full"
	Began       time.Time         `json:"began"`
	Ended       time.Time         `json:"ended"`
	Commit      string            `json:"commit"` // of the sources; with "+changes" if they were changed
	Machine     Machine           `json:"machine"`
	Versions    map[string]string `json:"versions"`    // of each program and library measured, by name
	NotMeasured []string          `json:"notMeasured"` // one sentence for each
	Scenarios   []Scenario        `json:"scenarios"`
}

// Machine describes where the run took place.
type Machine struct {
	CPU      string `json:"cpu"` // model name
	CPUs     int    `json:"cpus"`
	Server   []int  `json:"serverCPUs"`    // those that the servers ran on
	Load     []int  `json:"generatorCPUs"` // those that the load generator ran on
	Memory   int64  `json:"memory"`        // bytes
	Kernel   string `json:"kernel"`
	System   string `json:"system"` // name of the distribution
	Arch     string `json:"arch"`
	Disk     string `json:"disk"` // file system of the folder of the stores
	Governor string `json:"governor,omitempty"`
}

// Scenario is one question and its figures.
type Scenario struct {
	Name    string   `json:"name"`  // "throughput"; only a-z, 0-9 and "-": pictures are named after it
	Title   string   `json:"title"` // "Requests and what they cost"
	What    string   `json:"what"`  // what the numbers include, in a few sentences
	Figures []Figure `json:"figures"`
	Curves  []Curve  `json:"curves,omitempty"`
	Panel   *Panel   `json:"overview,omitempty"` // the part that the overview shows, or nil
}

// Panel is the part of a scenario that the overview shows: one metric of one case, or its curves.
type Panel struct {
	Title  string `json:"title"`
	Case   string `json:"case,omitempty"`
	Metric string `json:"metric,omitempty"` // empty for the curves
}

// Figure is one measured quantity of one system. Ratios and medians are computed when it is shown.
type Figure struct {
	Case   string    `json:"case,omitempty"` // "16 sessions"
	System string    `json:"system"`         // "latchkey", "libcoap-gnutls", or Floor
	Metric string    `json:"metric"`         // "p99"
	Unit   string    `json:"unit"`           // "µs", "s", "1/s", "B", "KB", …; empty for a count
	More   bool      `json:"moreIsBetter,omitempty"`
	Main   bool      `json:"main,omitempty"` // the metric by which systems are compared in this scenario
	Rounds []float64 `json:"rounds"`
	Note   string    `json:"note,omitempty"` // about this row; shown under the table
}

// Floor is the name of the system that does as little as possible. Every other system is also shown
// as a multiple of it.
const Floor = "floor"

// Own is the prefix of the names of our own systems. All others but the floor are peers.
const Own = "latchkey"

// Curve is the distribution of one system's latencies in all rounds together.
type Curve struct {
	Case   string       `json:"case,omitempty"`
	System string       `json:"system"`
	Points [][2]float64 `json:"points"` // percentile 0…100, µs
}
