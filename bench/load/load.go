// Package load is the load generator of the benchmarks: it starts servers in processes of their
// own, keeps them and itself to different CPUs, sends requests at a fixed rate or one after the
// other, and keeps every latency, also of failures. It does not judge the figures.
package load
