// Package bench measures the whole way of a scan. Benchmarks of a single package stand beside that
// package. README.md says what is in each number.
package bench
