// Package access says who may do what to which target, and when: a pure function over an immutable policy.
// It has no clock, does no I/O and knows neither datagrams nor storage.
package access
