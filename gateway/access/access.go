// Package access says who may do what to which target, and when: a pure function over an immutable
// policy. It has no clock, does no I/O and knows neither datagrams nor storage.
//
// A [Policy] holds records. Each kind of record is described by one [Kind], in a file of its own,
// and is one line of [Standard]; another package can add kinds with [Table.With].
package access
