package provision

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// runInShell runs a script in a shell in which coap-client-openssl is a program that prints its
// arguments. It returns the arguments of each run.
func runInShell(t *testing.T, script string) (runs [][]string) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal("sh is missing")
	}
	dir := t.TempDir()
	fake := "#!" + sh + "\nprintf '%s\\0' \"$@\"\nprintf '\\n\\0'\n"
	if err := os.WriteFile(filepath.Join(dir, "coap-client-openssl"), []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sh, "-c", script)
	cmd.Env = []string{"PATH=" + dir}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, word := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if word == "\n" {
			runs, run = append(runs, run), nil
			continue
		}
		run = append(run, word)
	}
	return runs
}

func TestCoAPClient(t *testing.T) {
	common := func(format, payload, uri string) []string {
		return []string{"-B", "3", "-m", "post", "-t", format, "-u", identity, "-k", secret, "-e", payload,
			uri}
	}
	for _, tc := range []struct {
		name string
		with func(*Bundle)
		want [][]string
	}{
		{"a reader scans", nil,
			[][]string{common("50", `{"n":1,"uid":"04a1b2c3d4e580"}`, "coaps://gw.example:5684/scan")}},
		{"an IPv6 address of the gateway is in brackets",
			func(b *Bundle) { b.Gateway = "[2001:db8::1]:5684" },
			[][]string{common("50", `{"n":1,"uid":"04a1b2c3d4e580"}`, "coaps://[2001:db8::1]:5684/scan")}},
		{"a switch asks for actions", func(b *Bundle) {
			b.Kind, b.Targets = keys.KindSwitch,
				[]string{"front", "hall.lamp"}
		}, [][]string{
			common("50", `{"n":1,"action":"unlock"}`, "coaps://gw.example:5684/act/front"),
			common("50", `{"n":2,"action":"toggle"}`, "coaps://gw.example:5684/act/front"),
			common("50", `{"n":3,"action":"unlock"}`, "coaps://gw.example:5684/act/hall.lamp"),
			common("50", `{"n":4,"action":"toggle"}`, "coaps://gw.example:5684/act/hall.lamp"),
		}},
		{"a sensor reports", func(b *Bundle) { b.Kind, b.Targets = keys.KindSensor, nil },
			[][]string{common("110", `[{"n":"contact","vb":true}]`, "coaps://gw.example:5684/report")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := writeBundle(t, makeBundle(t, tc.with), CoAPClient)
			runs := runInShell(t, script)
			if !reflect.DeepEqual(runs, tc.want) {
				t.Errorf("got %q, want %q", runs, tc.want)
			}
			if !strings.HasPrefix(script, "# ") || tc.want[0][5] == "50" && !strings.Contains(script,
				"# n must grow with each") {
				t.Errorf("a comment is missing:\n%s", script)
			}
			for _, run := range runs {
				checkPayload(t, run[5], run[11], run[12])
			}
		})
	}
	for _, kind := range []keys.Kind{keys.KindLock, keys.KindLamp} {
		var out bytes.Buffer
		err := makeBundle(t, func(b *Bundle) { b.Kind = kind }).Write(&out, CoAPClient)
		if !errors.Is(err, ErrNoClient) || out.Len() != 0 {
			t.Errorf("%s: got %v, want ErrNoClient and nothing written", kind, err)
		}
	}
	if err := makeBundle(t, func(b *Bundle) { b.Kind, b.Targets = keys.KindSwitch, nil }).Write(io.Discard,
		CoAPClient); !errors.Is(err, ErrMalformed) {
		t.Errorf("a switch without targets: got %v, want ErrMalformed", err)
	}
}

// checkPayload checks that the gateway can parse the payload of a line.
func checkPayload(t *testing.T, format, payload, uri string) {
	t.Helper()
	var err error
	switch {
	case format == "110":
		_, err = wire.ParseReport(wire.SenMLJSON, []byte(payload))
	case strings.HasSuffix(uri, "/scan"):
		_, err = wire.ParseScan(wire.JSON, []byte(payload))
	default:
		_, err = wire.ParseAct(wire.JSON, []byte(payload))
	}
	if err != nil {
		t.Errorf("%s: %v", payload, err)
	}
}
