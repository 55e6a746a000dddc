// Package bench measures a scan from the tap to the command. Benchmarks of a single package are in
// that package. README.md says what is in each number.
package bench
