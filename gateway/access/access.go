// Package access says who may do what to which target, and when: a pure function over an immutable
// policy. It has no clock, does no I/O and knows neither datagrams nor storage.
//
// A [Policy] holds records. Each kind of record is described by one [Kind]. Those that a decision
// reads stand here, each in a file of its own and as one line of [Standard]; other packages add
// kinds of theirs with [Table.With].
package access
