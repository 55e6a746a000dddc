// Package load is the load generator of the benchmarks. It starts servers in processes of their
// own, runs them and itself on different CPUs, sends requests at a fixed rate or one after the
// other, and records every latency, also of failures. It does not judge the figures.
package load
