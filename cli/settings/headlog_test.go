package settings

import "testing"

func TestHeadFolder(t *testing.T) {
	for _, c := range []struct{ rule, state, data, want string }{
		{"beside the data folder", "", "/home/x/door", "/home/x/door-head"},
		{"whatever its path ends in", "", "/home/x/door/", "/home/x/door-head"},
		{"one folder of the service manager", "/var/lib/latchkey", "/var/lib/latchkey", "/var/lib/latchkey-head"},
		{"its second folder", "/var/lib/latchkey:/var/lib/heads", "/var/lib/latchkey", "/var/lib/heads"},
		{"folders of another service", "/var/lib/other:/var/lib/heads", "/var/lib/latchkey",
			"/var/lib/latchkey-head"},
		{"a relative folder", "/var/lib/latchkey:heads", "/var/lib/latchkey", "/var/lib/latchkey-head"},
	} {
		t.Setenv("STATE_DIRECTORY", c.state)
		if got := headFolder(c.data); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}
