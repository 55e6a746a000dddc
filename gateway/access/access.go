// Package access decides who may do what to which target, and when. A decision is a pure function
// of an attempt and an immutable policy. The package has no clock, does no I/O and knows neither
// datagrams nor storage.
//
// A [Policy] holds records. One [Kind] describes each kind of record. The kinds that a decision
// reads are in this package, each in a file of its own and as one line of [Standard]. Other
// packages add their own kinds with [Table.With].
package access
