package settings

import (
	"slices"
	"testing"
)

func TestAnnouncedAddrs(t *testing.T) {
	for _, tc := range []struct {
		rule, listen string
		want         []string
	}{
		{"an address is announced unchanged", "10.42.0.1:5684", []string{"10.42.0.1:5684"}},
		{"an IPv6 address is announced unchanged", "[2001:db8::7]:1234", []string{"[2001:db8::7]:1234"}},
		{"a name is announced unchanged", "door.example:5684", []string{"door.example:5684"}},
		{"a port that the kernel chooses is not known yet", "127.0.0.1:0", nil},
	} {
		if got := AnnouncedAddrs(tc.listen); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.rule, got, tc.want)
		}
	}
	for _, all := range []string{":5684", "0.0.0.0:5684", "[::]:5684"} {
		if got, want := len(AnnouncedAddrs(all)), len(MachineAddrs()); got != want {
			t.Errorf("%s: got %d addresses, want all %d of this machine", all, got, want)
		}
	}
}
