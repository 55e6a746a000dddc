package wire

import (
	"fmt"
	"log/slog"
)

var (
	outcomeNames = [...]string{Denied: "denied", Granted: "granted", Retry: "retry"}
	contactNames = [...]string{ContactUnknown: "unknown", ContactClosed: "closed", ContactOpen: "open"}
	resultNames  = [...]string{Refused: "refused", Done: "done"}
)

func nameOf(names []string, what string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", what, i)
}

func (o Outcome) String() string { return nameOf(outcomeNames[:], "verdict", uint8(o)) }
func (c Contact) String() string { return nameOf(contactNames[:], "contact", uint8(c)) }
func (r Result) String() string  { return nameOf(resultNames[:], "result", uint8(r)) }

// Format implements [fmt.Formatter] for every verb, so that a UID never gets into a log by
// accident.
func (s Scan) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "scan %d, uid of %d bytes, age %d ms", s.N, len(s.UID), s.Age)
}

// LogValue implements [slog.LogValuer], without the UID.
func (s Scan) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("counter", s.N), slog.Int("age", int(s.Age)))
}
