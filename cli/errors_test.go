package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
)

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
		text string
	}{
		{"done", nil, 0, ""},
		{"wrong use", terminal.UsageError{Text: "latchkey target add: want NAME"}, 2,
			"latchkey target add: want NAME\n"},
		{"no gateway here", fmt.Errorf("%w on x", errNoGateway), 3, "latchkey: no gateway is running on x\n"},
		{"no gateway there", apiError{503, api.TypeNoGateway, "start one"}, 3, "latchkey: start one\n"},
		{"busy", apiError{503, "", "closed"}, 1, "latchkey: closed\n"},
		{"refused by the policy", apiError{422, "", "want a name"}, 2, "latchkey: want a name\n"},
		{"taken", apiError{409, "", "taken"}, 1, "latchkey: taken\n"},
		{"interrupted", context.Canceled, 1, "latchkey: interrupted\n"},
		{"lines and escapes stay on one line", errors.New("a\nb\x1b[31m\u202e"), 1, `latchkey: a\nb\x1b[31m\u202e` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			if got := exit(&stderr, tt.err); got != tt.want || stderr.String() != tt.text {
				t.Errorf("got %d %q, want %d %q", got, stderr.String(), tt.want, tt.text)
			}
		})
	}
}

func TestPathsEscapeNames(t *testing.T) {
	for in, want := range map[string]string{"ann": "/v1/persons/ann", "..": "/v1/persons/%2E%2E",
		"a/b c?": "/v1/persons/a%2Fb%20c%3F"} {
		if got := at("/v1/persons/%s", in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
