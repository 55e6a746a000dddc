package confine

import (
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
)

// If a list had the name of a system call that the architecture does not have, the filter could not
// be loaded there.
func TestCallsExist(t *testing.T) {
	for name := range lists {
		info, err := arch.GetInfo(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range policy(name, false).Syscalls {
			names := slices.Clone(group.Names)
			for _, r := range group.NamesWithCondtions {
				names = append(names, r.Name)
			}
			for _, call := range names {
				if _, ok := info.SyscallNames[call]; !ok {
					t.Errorf("%s has no system call %s", name, call)
				}
			}
		}
	}
}

func TestWhatAKernelLacks(t *testing.T) {
	for p, want := range map[Protection]string{
		{}:                            "seccomp filters (CONFIG_SECCOMP_FILTER)",
		{Landlock: 9}:                 "seccomp filters (CONFIG_SECCOMP_FILTER)",
		{Seccomp: true}:               "Landlock (CONFIG_SECURITY_LANDLOCK, and landlock in its list of security modules)",
		{Seccomp: true, Landlock: 2}:  "a newer Landlock: version 2 holds back files only",
		{Seccomp: true, Landlock: 4}:  "a newer Landlock: version 4 holds back files and TCP only",
		{Seccomp: true, Landlock: 6}:  "a newer Landlock: version 6 holds back no unix sockets with a path",
		{Seccomp: true, Landlock: 9}:  "",
		{Seccomp: true, Landlock: 11}: "",
	} {
		if got := p.Lacks(); got != want {
			t.Errorf("%+v: got %q, want %q", p, got, want)
		}
	}
}
