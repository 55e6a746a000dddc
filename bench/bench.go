// Package bench measures the way of a scan as a whole. What belongs to one package is measured
// beside it; README.md says what is in each number.
package bench
