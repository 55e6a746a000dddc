package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
		text string
	}{
		{"no error", nil, 0, ""},
		{"wrong use", terminal.UsageError{Text: "latchkey target add: want NAME"}, 2,
			"latchkey target add: want NAME\n"},
		{"no gateway here", fmt.Errorf("%w on x", connection.ErrNoGateway), 3,
			"latchkey: no gateway is running on x\n"},
		{"no gateway there", &client.Problem{Status: 503, Type: api.TypeNoGateway, Detail: "start one"}, 3,
			"latchkey: start one\n"},
		{"busy", &client.Problem{Status: 503, Detail: "closed"}, 1, "latchkey: closed\n"},
		{"refused by the policy", &client.Problem{Status: 422, Detail: "want a name"}, 2,
			"latchkey: want a name\n"},
		{"taken", &client.Problem{Status: 409, Detail: "taken"}, 1, "latchkey: taken\n"},
		{"interrupted", context.Canceled, 1, "latchkey: interrupted\n"},
		{"line breaks and escapes are shown on one line", errors.New("a\nb\x1b[31m\u202e"), 1,
			`latchkey: a\nb\x1b[31m\u202e` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			if got := exit(&stderr, tt.err); got != tt.want || stderr.String() != tt.text {
				t.Errorf("got %d %q, want %d %q", got, stderr.String(), tt.want, tt.text)
			}
		})
	}
}
