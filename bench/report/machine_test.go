package report

import (
	"reflect"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func TestMachineIsReadFromItsFiles(t *testing.T) {
	root := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/cpuinfo":              "processor\t: 0\nmodel name\t: An  Invented CPU\nflags\t\t: a b\n\nprocessor\t: 1\nmodel name\t: An  Invented CPU\n",
		"proc/meminfo":              "MemTotal:        2097152 kB\nMemFree:          1 kB\n",
		"proc/sys/kernel/osrelease": "6.1.0-test\n",
		"etc/os-release":            "NAME=\"Some\"\nPRETTY_NAME=\"Some GNU/Linux 1\"\n",
		"proc/self/mountinfo": "21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n" +
			"22 21 0:20 / /tmp rw - tmpfs tmpfs rw\n" +
			"23 21 8:1 / /with\\040space rw shared:2 master:1 - xfs /dev/sda1 rw\n" +
			"24 23 8:2 / /with\\040space rw - btrfs /dev/sdb rw\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
	} {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	want := Machine{CPU: "An Invented CPU", CPUs: 2, Memory: 2 << 30, Kernel: "Linux 6.1.0-test",
		System: "Some GNU/Linux 1", Arch: runtime.GOARCH,
		Disk: "ext4 on /dev/vda1", Governor: "performance"}
	if got := machineOf(root, "/home/x"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for dir, disk := range map[string]string{"/": want.Disk, "/tmp": "tmpfs", "/tmp/x": "tmpfs",
		"/tmpx": want.Disk, "/with space/x": "btrfs on /dev/sdb"} {
		if got := machineOf(root, dir).Disk; got != disk {
			t.Errorf("%s: got %s, want %s", dir, got, disk)
		}
	}
}

func TestWhatAMachineDoesNotSayIsEmpty(t *testing.T) {
	want := Machine{CPUs: runtime.NumCPU(), Arch: runtime.GOARCH}
	if got := machineOf(fstest.MapFS{}, "/"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	pi := fstest.MapFS{"proc/device-tree/model": {Data: []byte("A Board Model 2\x00")},
		"proc/cpuinfo": {Data: []byte("processor\t: 0\nCPU part\t: 0xd08\n")}}
	if got := machineOf(pi, "/"); got.CPU != "A Board Model 2" || got.CPUs != 1 {
		t.Errorf("got %+v, want the board's name", got)
	}
}

func TestThisMachineIsKnown(t *testing.T) {
	m, err := ThisMachine(t.TempDir())
	if err != nil || m.CPUs < 1 || m.Arch == "" {
		t.Errorf("got %+v, %v", m, err)
	}
	if runtime.GOOS == "linux" && (m.Kernel == "" || m.Memory == 0 || m.Disk == "") {
		t.Errorf("got %+v, want what Linux always says", m)
	}
	if _, err := ThisMachine("testdata/not there"); err == nil {
		t.Error("ThisMachine returns no error for a folder that does not exist")
	}
}

func TestVersionsAndCommitAreFromTheBuild(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Deps: []*debug.Module{
			{Path: "github.com/plgd-dev/go-coap/v3", Version: "v3.5.4"}, {Path: "github.com/pion/logging",
				Version: "v0.2.4"},
			{Path: "github.com/pion/dtls/v3", Version: "v3.1.15", Replace: &debug.Module{Version: "v3.1.16"}},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123"},
			{Key: "vcs.modified", Value: "false"}},
	}
	want := map[string]string{"Go": "go1.26.8", "go-coap": "v3.5.4", "pion/dtls": "v3.1.16"}
	if got := versionsOf(info); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := commitOf(info); got != "0123" {
		t.Errorf("got %s, want 0123", got)
	}
	info.Settings[1].Value = "true"
	if got := commitOf(info); got != "0123+changes" {
		t.Errorf("changed sources: got %s", got)
	}
	info.Settings = info.Settings[1:]
	if got := commitOf(info); got != "unknown" {
		t.Errorf("without a revision: got %s, want unknown", got)
	}
	if got := Versions()["Go"]; got != runtime.Version() {
		t.Errorf("this program: got Go %q, want %s", got, runtime.Version())
	}
	if got := Commit(); got == "" {
		t.Error("this program has an empty commit")
	}
}
