package simulate

import (
	"strings"
	"testing"

	"latchkey/coapres/wire"
)

func TestParsePress(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		action     wire.Action
		level      uint8
		err        string
	}{
		{"an action without a level", "desk toggle", wire.Toggle, 0, ""},
		{"spaces and tabs", " desk\tunlock ", wire.Unlock, 0, ""},
		{"a level", "desk level 40", wire.Level, 40, ""},
		{"the lowest level", "desk level 0", wire.Level, 0, ""},
		{"the highest level", "desk level 100", wire.Level, 100, ""},
		{"level without a number is an error", "desk level", 0, 0, "needs a number of 0 to 100"},
		{"above the highest level", "desk level 101", 0, 0, `there is no level "101"`},
		{"below the lowest level", "desk level -1", 0, 0, `there is no level "-1"`},
		{"a number after an action without a level", "desk toggle 40", 0, 0, `"40" is too many`},
		{"two levels", "desk level 40 50", 0, 0, `"50" is too many`},
		{"no action", "desk", 0, 0, "want TARGET ACTION [LEVEL]"},
		{"an unknown action", "desk frob", 0, 0,
			`there is no action "frob": want on, off, toggle, level LEVEL, unlock or lock`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, action, level, err := parsePress(tt.line)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || target != "desk" || action != tt.action || level != tt.level {
				t.Errorf("got %q %v %d, %v, want desk %v %d", target, action, level, err, tt.action, tt.level)
			}
		})
	}
}
