// Package rollback notices that the store is an older copy. It keeps head.log, in a folder that is
// not the data folder: the newest event of the store, and the number and kind of each restriction.
// At a start it compares the store with that, and says what may be undone. Actuators say which
// command they obeyed last, and that is compared with the store too. access.Reason it finds shuts no door
// and changes no record.
//
// The file is lines of text, each with a code that covers the line and all lines before it:
//
//	latchkey-head-log-1 SITE 26*letter
//	began|head|took|fold|found|told|seen … 26*letter
//
// store/FORMAT.md describes the lines. A line is appended and synced; from time to time, and at
// each start, the file is replaced as a whole by a shorter one that says the same. So a power cut
// leaves at worst half a line at the end, which is left out.
package rollback
