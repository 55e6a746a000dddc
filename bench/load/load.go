// Package load is the load generator of the benchmarks: it starts servers in processes of their
// own, keeps them and itself to different CPUs, sends requests by the clock or one after the other,
// and keeps every latency, of failures too. It says nothing about what is good.
package load
