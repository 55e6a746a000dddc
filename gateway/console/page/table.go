package page

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/gateway/audit"
)

// TableHead is the head of a table of events for a spreadsheet.
var TableHead = []string{"number", "time", "kind", "person", "card", "actor", "device", "target", "action",
	"level", "granted", "reason", "outcome", "cause", "rule", "detail", "hash"}

// NewTableRow returns the cells of an event in such a table.
func NewTableRow(e audit.Event) []string {
	action, level := "", ""
	if e.Action != 0 {
		action, level = e.Action.String(), strconv.Itoa(int(e.Level))
	}
	cells := []string{strconv.FormatUint(e.Seq, 10), e.At.UTC().Format(time.RFC3339Nano), string(e.Kind),
		e.Person.Name, e.Card, e.Actor, e.Device.Name, e.Target.Name, action, level,
		strconv.FormatBool(e.Granted), string(e.Reason), string(e.Outcome),
		strconv.FormatUint(e.Cause, 10), e.Rule, e.Detail, e.Hash.String()}
	for i := range cells {
		cells[i] = inert(cells[i])
	}
	return cells
}

// inert keeps a spreadsheet from reading a name as a formula. Some spreadsheets also accept the
// wide forms of the signs.
func inert(cell string) string {
	first, _ := utf8.DecodeRuneInString(cell)
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}
