package provision

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mdp/qrterminal/v3"
	"rsc.io/qr"

	"latchkey/keys"
)

const (
	identity = "lk-0123456789"
	secret   = "zk7rqh2m9xw4c0td8vpnj5bsy6"
)

func makeBundle(t testing.TB, with func(*Bundle)) Bundle {
	t.Helper()
	s, err := keys.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	b := Bundle{
		Device: "front-reader", Kind: keys.KindReader, Targets: []string{"front"}, Gateway: "gw.example:5684",
		Identity: identity, Secret: s,
	}
	if with != nil {
		with(&b)
	}
	return b
}

func writeBundle(t *testing.T, b Bundle, f Format) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.Write(&out, f); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return out.String()
}

func TestText(t *testing.T) {
	want := `device    front-reader
kind      reader
targets   front, back
gateway   gw.example:5684
identity  lk-0123456789
secret    zk7rqh2m9xw4c0td8vpnj5bsy6

This secret is shown once. Put it into the device now; if it is lost: latchkey device rekey.
`
	if got := writeBundle(t, makeBundle(t, func(b *Bundle) { b.Targets = []string{"front", "back"} }),
		Text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

const asJSON = `{"device":"front-reader","kind":"reader","targets":["front"],` +
	`"gateway":"gw.example:5684","identity":"lk-0123456789",` +
	`"secret":"zk7rqh2m9xw4c0td8vpnj5bsy6"}`

func TestJSONRoundTrip(t *testing.T) {
	if got := writeBundle(t, makeBundle(t, nil), JSON); got != asJSON+"\n" {
		t.Errorf("got %s want %s", got, asJSON)
	}
	for _, with := range []func(*Bundle){
		nil,
		func(b *Bundle) { b.Targets = nil },
		func(b *Bundle) { b.Kind, b.Targets = keys.KindSwitch, []string{"front", "hall.lamp", "3_x"} },
		func(b *Bundle) { b.Gateway = "[2001:db8::1]:5684" },
		func(b *Bundle) {
			b.Targets = nil
			for i := range MaxTargets {
				b.Targets = append(b.Targets, fmt.Sprintf("%064d", i))
			}
		},
	} {
		b := makeBundle(t, with)
		got, err := ParseBundle(strings.NewReader(writeBundle(t, b, JSON)))
		if err != nil || !got.Secret.Equal(b.Secret) || !reflect.DeepEqual(got, b) {
			t.Errorf("got %v, %v, want %v", got, err, b)
		}
	}
}

func TestParseBundleRefuses(t *testing.T) {
	swap := func(old, new string) string {
		if !strings.Contains(asJSON, old) {
			t.Fatalf("%s is not in the JSON", old)
		}
		return strings.Replace(asJSON, old, new, 1)
	}
	for name, body := range map[string]string{
		"empty":                     "",
		"null":                      "null",
		"an array":                  "[" + asJSON + "]",
		"data after the object":     asJSON + "{}",
		"cut short":                 asJSON[:len(asJSON)-1],
		"comma at the end":          swap(`6"}`, `6",}`),
		"a repeated member":         swap(`{`, `{"secret":"`+secret+`",`),
		"a member in another case":  swap(`"secret"`, `"Secret"`),
		"an unknown member":         swap(`{`, `{"x":1,`),
		"a missing member":          swap(`"kind":"reader",`, ``),
		"null for text":             swap(`"gw.example:5684"`, `null`),
		"null for targets":          swap(`["front"]`, `null`),
		"a target that is a number": swap(`["front"]`, `["front",1]`),
		"targets as text":           swap(`["front"]`, `"front"`),
		"a repeated target":         swap(`["front"]`, `["front","front"]`),
		"a target with a slash":     swap(`["front"]`, `["../scan"]`),
		"too many targets": swap(`"front"`,
			`"t0","t1","t2","t3","t4","t5","t6","t7","t8","t9","ta","tb","tc","td","te","tf","tg"`),
		"an unknown kind":          swap(`"reader"`, `"door"`),
		"a device with a space":    swap(`"front-reader"`, `"front reader"`),
		"a device in upper case":   swap(`"front-reader"`, `"Front"`),
		"a device with a quote":    swap(`"front-reader"`, `"a\"b"`),
		"a device without a name":  swap(`"front-reader"`, `""`),
		"a long device":            swap(`"front-reader"`, `"`+strings.Repeat("a", 65)+`"`),
		"a gateway without a port": swap(`gw.example:5684`, `gw.example`),
		"port zero":                swap(`:5684`, `:0`),
		"port above 65535":         swap(`:5684`, `:65536`),
		"port by name":             swap(`:5684`, `:coaps`),
		"port with a leading zero": swap(`:5684`, `:05684`),
		"port with a sign":         swap(`:5684`, `:+5684`),
		"no host":                  swap(`gw.example`, ``),
		"host with a quote":        swap(`gw.example`, `gw'`),
		"host with a space":        swap(`gw.example`, `gw x`),
		"host with a dollar":       swap(`gw.example`, `$(id)`),
		"host that begins with -":  swap(`gw.example`, `-gw`),
		"host with an empty part":  swap(`gw.example`, `gw..example`),
		"IPv6 without brackets":    swap(`gw.example`, `2001:db8::1`),
		"IPv6 with a zone":         swap(`gw.example`, `[fe80::1%eth0]`),
		"a scheme":                 swap(`gw.example`, `coaps://gw.example`),
		"a broken identity":        swap(identity, "lk-012345678l"),
		"a secret in upper case":   swap(secret, strings.ToUpper(secret)),
		"a short secret":           swap(secret, secret[:25]),
		"a redacted secret":        swap(secret, "[redacted]"),
		"the secret as identity":   swap(identity, secret),
		"the secret as device":     swap("front-reader", strings.Repeat(secret, 3)),
		"the secret as a member":   swap(`{`, `{"`+secret+`":1,`),
		"the secret as gateway":    swap("gw.example:5684", secret),
		"the secret as kind":       swap(`"reader"`, `"`+secret+`"`),
		"not UTF-8":                swap("front-reader", "\xff"),
		"over 4 KB":                asJSON + strings.Repeat(" ", MaxBundle),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseBundle(strings.NewReader(body))
			if !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(got, Bundle{}) {
				t.Fatalf("got %v, %v, want ErrMalformed and nothing", got, err)
			}
			if text := err.Error(); strings.Contains(text, secret[:6]) ||
				strings.Contains(text, strings.ToUpper(secret[:6])) {
				t.Errorf("the error contains the secret: %s", text)
			}
		})
	}
	broken := errors.New("broken disk")
	if _, err := ParseBundle(io.MultiReader(strings.NewReader(asJSON), failing{broken})); !errors.Is(err,
		broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestCHeader(t *testing.T) {
	b := makeBundle(t,
		func(b *Bundle) { b.Gateway, b.Targets = "[2001:db8::1]:5684", []string{"front", "back"} })
	got := writeBundle(t, b, CHeader)
	for _, line := range []string{
		"#ifndef LK_BUNDLE_H", "#define LK_BUNDLE_H", `#define LK_IDENTITY "lk-0123456789"`,
		`#define LK_SECRET "` + secret + `"`,
		`#define LK_GATEWAY "[2001:db8::1]:5684"`, `#define LK_GATEWAY_HOST "2001:db8::1"`,
		"#define LK_GATEWAY_PORT 5684",
		`#define LK_KIND "reader"`, "#define LK_KIND_READER 1", `#define LK_TARGETS "front,back"`,
		`#define LK_DEVICE "front-reader"`, "#endif",
	} {
		if !slices.Contains(strings.Split(got, "\n"), line) {
			t.Errorf("missing: %s\n%s", line, got)
		}
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Fatal("cc is missing: install gcc")
	}
	dir := t.TempDir()
	program := "#include \"bundle.h\"\n#include \"bundle.h\"\n#include <stdio.h>\n" +
		"#ifndef LK_KIND_READER\n#error\n#endif\n" +
		"int main(void) { printf(\"%s %s %s %d\", LK_IDENTITY, LK_SECRET, " + quoteC("a\"b\\c??/\n\x01é7") +
		", LK_GATEWAY_PORT); return 0; }\n"
	for name, text := range map[string]string{"bundle.h": got, "main.c": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-o",
		filepath.Join(dir, "main"), filepath.Join(dir, "main.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(dir, "main")).Output()
	if want := identity + " " + secret + " a\"b\\c??/\n\x01é7 5684"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

func TestNVSCSV(t *testing.T) {
	got := writeBundle(t, makeBundle(t, func(b *Bundle) { b.Targets = []string{"front", "back"} }), NVSCSV)
	want := `key,type,encoding,value
latchkey,namespace,,
identity,data,string,lk-0123456789
secret,data,string,` + secret + `
gateway,data,string,gw.example:5684
kind,data,string,reader
device,data,string,front-reader
targets,data,string,"front,back"
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if len(row) != 4 || len(row[0]) > 15 {
			t.Errorf("row %v: want 4 columns and a name of at most 15 characters", row)
		}
	}
	if got := writeBundle(t, makeBundle(t, func(b *Bundle) { b.Targets = nil }),
		NVSCSV); strings.Contains(got,
		"targets") {
		t.Errorf("no targets, but a row for them:\n%s", got)
	}
}

func TestQR(t *testing.T) {
	b := makeBundle(t, nil)
	got := writeBundle(t, b, QR)
	var want bytes.Buffer
	qrterminal.GenerateHalfBlock(asJSON, qr.L, &want)
	if !strings.HasPrefix(got, want.String()) {
		t.Error("the code is not that of the JSON")
	}
	caption := strings.TrimPrefix(got, want.String())
	if strings.Contains(caption, secret) || !strings.Contains(caption, "front-reader") {
		t.Errorf("caption: got %q", caption)
	}
	var parsed Bundle
	err := error(nil)
	if parsed, err = ParseBundle(strings.NewReader(asJSON)); err != nil || !reflect.DeepEqual(parsed, b) {
		t.Errorf("the JSON in the code does not parse: %v", err)
	}
}

func TestFormats(t *testing.T) {
	for _, f := range Formats {
		if got, err := ParseFormat(string(f)); err != nil || got != f {
			t.Errorf("got %q, %v, want %q", got, err, f)
		}
		if err := makeBundle(t, nil).Write(failing{io.ErrShortWrite}, f); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: got %v, want the writer's error", f, err)
		}
	}
	if _, err := ParseFormat("yaml"); err == nil {
		t.Error("yaml: got nil, want an error")
	}
	if err := makeBundle(t, nil).Write(io.Discard, "yaml"); err == nil {
		t.Error("yaml: got nil, want an error")
	}
}

// Whatever the error and the format, nothing is written and the error does not contain the secret.
func TestErrorsDoNotContainTheSecret(t *testing.T) {
	for _, with := range []func(*Bundle){
		func(b *Bundle) { b.Device = "a b" },
		func(b *Bundle) { b.Device = secret + " " },
		func(b *Bundle) { b.Kind = secret },
		func(b *Bundle) { b.Targets = []string{secret + "/"} },
		func(b *Bundle) { b.Targets = make([]string, MaxTargets+1) },
		func(b *Bundle) { b.Gateway = secret },
		func(b *Bundle) { b.Identity = secret },
		func(b *Bundle) { b.Secret = keys.Secret{} },
	} {
		for _, f := range Formats {
			var out bytes.Buffer
			err := makeBundle(t, with).Write(&out, f)
			if !errors.Is(err, ErrMalformed) || out.Len() != 0 {
				t.Errorf("%s: got %v and %d bytes, want ErrMalformed and nothing", f, err, out.Len())
			}
			if err != nil && strings.Contains(err.Error(), secret[:6]) {
				t.Errorf("%s: the error contains the secret: %v", f, err)
			}
		}
	}
	b := makeBundle(t, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		if got := fmt.Sprintf(verb+verb, b, &b); strings.Contains(got, secret[:6]) ||
			strings.Contains(got, "7a6b37") {
			t.Errorf("%s: got %s", verb, got)
		}
	}
	if got, err := json.Marshal(b); err != nil || strings.Contains(string(got), secret) {
		t.Errorf("a bundle's own JSON: got %s, %v", got, err)
	}
}

// Only Reveal returns the secret, and no line that makes an error or a log entry calls it.
func TestRevealStaysOutOfErrors(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	reveals := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, ".PSK()") {
				t.Errorf("%s:%d: the secret is read without Reveal", name, i+1)
			}
			if !strings.Contains(line, "Reveal") {
				continue
			}
			reveals++
			for _, word := range []string{"Errorf", "errors.", "malformed", "slog", "log.", "panic"} {
				if strings.Contains(line, word) {
					t.Errorf("%s:%d: a secret on a line with %s", name, i+1, word)
				}
			}
		}
	}
	if want := 5; reveals != want {
		t.Errorf("got %d places that reveal, want %d: one in each format that holds the secret but qr, "+
			"which draws the JSON", reveals, want)
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte(asJSON))
	f.Add([]byte(strings.Replace(asJSON, "gw.example", "[::1]", 1)))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := ParseBundle(bytes.NewReader(body))
		if err != nil {
			return
		}
		again, err := ParseBundle(strings.NewReader(writeBundle(t, b, JSON)))
		if err != nil || !reflect.DeepEqual(b.Targets, again.Targets) || !again.Secret.Equal(b.Secret) ||
			again.Gateway != b.Gateway {
			t.Fatalf("got %v, %v, want %v", again, err, b)
		}
		for _, f := range Formats {
			if err := b.Write(io.Discard, f); err != nil && !errors.Is(err, ErrNoClient) &&
				b.Kind != keys.KindSwitch {
				t.Fatalf("%s: %v", f, err)
			}
		}
	})
}

func TestAddPort(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"gw.local", "gw.local:5684"},
		{"gw.local.", "gw.local.:5684"},
		{"gw.local:5685", "gw.local:5685"},
		{"192.0.2.1", "192.0.2.1:5684"},
		{"2001:db8::1", "[2001:db8::1]:5684"},
		{"[2001:db8::1]", "[2001:db8::1]:5684"},
		{"[2001:db8::1]:5685", "[2001:db8::1]:5685"},
		{"somewhere", "somewhere"}, // a typing error, more likely than a name
		{"", ""},
	} {
		if got := AddPort(tt.in); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// The firmware holds 63 characters of a name. A bundle that was made before there was that limit is
// still read.
func TestLongestName(t *testing.T) {
	name := strings.Repeat("a", 57) + ".local"
	for _, tt := range []struct {
		gateway string
		ok      bool
	}{{name + ":5684", true}, {"b" + name + ":5684", false}} {
		b := makeBundle(t, func(b *Bundle) { b.Gateway = tt.gateway })
		if err := b.Check(); (err == nil) != tt.ok {
			t.Errorf("%q: got %v, want that it is valid: %v", tt.gateway, err, tt.ok)
		}
		if err := CheckGateway(tt.gateway); (err == nil) != tt.ok {
			t.Errorf("%q as announced: got %v, want that it is valid: %v", tt.gateway, err, tt.ok)
		}
		b.Gateway = name + ":5684"
		var out bytes.Buffer
		if err := b.Write(&out, JSON); err != nil {
			t.Fatal(err)
		}
		old := strings.Replace(out.String(), name+":5684", tt.gateway, 1)
		if got, err := ParseBundle(strings.NewReader(old)); err != nil || got.Gateway != tt.gateway {
			t.Errorf("%q: got %q, %v, want that an old bundle is read", tt.gateway, got.Gateway, err)
		}
	}
}
