package report

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// ThisMachine describes this machine and the file system of dir. What it cannot find out stays
// empty. The caller fills in which CPUs run what.
func ThisMachine(dir string) (Machine, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return Machine{}, fmt.Errorf("report: this machine: %w", err)
	}
	return machineOf(os.DirFS("/"), dir), nil
}

// machineOf reads a machine's root file system.
func machineOf(root fs.FS, dir string) Machine {
	read := func(name string) []byte {
		text, _ := fs.ReadFile(root, name) // a missing file leaves its value empty
		return text
	}
	m := Machine{Arch: runtime.GOARCH}
	m.CPU, m.CPUs = processors(read("proc/cpuinfo"))
	if m.CPU == "" {
		// A Raspberry Pi has its name here.
		m.CPU = strings.TrimRight(string(read("proc/device-tree/model")), "\x00\n")
	}
	if m.CPUs == 0 {
		m.CPUs = runtime.NumCPU()
	}
	m.Memory = memory(read("proc/meminfo"))
	if release := strings.TrimSpace(string(read("proc/sys/kernel/osrelease"))); release != "" {
		m.Kernel = "Linux " + release
	}
	for line := range strings.Lines(string(read("etc/os-release"))) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			m.System = strings.Trim(strings.TrimSpace(name), `"'`)
		}
	}
	m.Disk = diskOf(read("proc/self/mountinfo"), dir)
	m.Governor = strings.TrimSpace(string(read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")))
	return m
}

// processors reads the model's name and the number of processors from /proc/cpuinfo. On ARM it has
// no name.
func processors(cpuinfo []byte) (model string, n int) {
	for line := range strings.Lines(string(cpuinfo)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "processor":
			n++
		case "model name":
			model = strings.Join(strings.Fields(value), " ")
		}
	}
	return model, n
}

func memory(meminfo []byte) int64 {
	for line := range strings.Lines(string(meminfo)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// diskOf finds the mount that dir is on. Of several mounts at the same place the last one counts,
// because it covers the others. See proc_pid_mountinfo(5).
func diskOf(mountinfo []byte, dir string) (disk string) {
	longest := -1
	for line := range bytes.Lines(mountinfo) {
		mount, kind, ok := strings.Cut(string(line), " - ")
		f, k := strings.Fields(mount), strings.Fields(kind)
		if !ok || len(f) < 5 || len(k) < 2 {
			continue
		}
		at := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		inside := dir == at || strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/")
		if !inside || len(at) < longest {
			continue
		}
		longest = len(at)
		disk = k[0]
		if k[1] != k[0] && k[1] != "none" {
			disk += " on " + k[1]
		}
	}
	return disk
}

// Versions returns the versions of Go and of the modules that handle a scan, as this program was
// built with them.
func Versions() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return map[string]string{"Go": runtime.Version()}
	}
	return versionsOf(info)
}

var modules = map[string]string{
	"github.com/plgd-dev/go-coap/v3": "go-coap",
	"github.com/pion/dtls/v3":        "pion/dtls",
	"github.com/dgraph-io/badger/v4": "badger",
}

func versionsOf(info *debug.BuildInfo) map[string]string {
	versions := map[string]string{"Go": info.GoVersion}
	for _, m := range info.Deps {
		name, ok := modules[m.Path]
		if !ok {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		versions[name] = strings.TrimSpace(m.Version)
	}
	return versions
}

// Commit returns the commit of the sources that this program was built from, followed by "+changes"
// if they were changed. It is "unknown" if the build left it out, as `go test` and `go run` do.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	return commitOf(info)
}

const unknown = "unknown"

func commitOf(info *debug.BuildInfo) string {
	commit, changes := unknown, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	if commit == unknown {
		return unknown
	}
	return commit + changes
}
