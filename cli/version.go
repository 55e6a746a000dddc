package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"latchkey/gateway/clock"
)

func versionCommand() spec {
	return spec{name: "version", usage: "print the version of this program", run: func(x *call) error {
		v := struct {
			Version  string `json:"version"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
			// Built is the commit's time, where the build knows it.
			Built string `json:"built"`
		}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH,
			clock.Built().UTC().Format(time.RFC3339)}
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("version: %w", err)
		}
		return x.show(raw, func(w io.Writer) { printLine(w, "latchkey "+v.Version+" "+v.Go+" "+v.Platform) })
	}}
}

// release is the version of a released build; the Makefile sets it.
var release string

// version is the release's, else the module's, else the commit that was built.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "devel"
}
