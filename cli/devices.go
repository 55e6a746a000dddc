package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/keys"
	"latchkey/keys/provision"
)

func deviceCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", need: []string{"kind"}, makes: true,
			usage: "enrol a device and print its bundle: the secret is shown once",
			flags: append([]cli.Flag{
				&cli.StringFlag{Name: "kind", Usage: terminal.JoinOr(kindNames())},
				&cli.StringSliceFlag{Name: "target",
					Usage: "the door or lamp that it stands at or moves; a switch may have several"},
			}, bundleFlags()...),
			run: addDevice,
		},
		{
			name: "rekey", args: "NAME",
			usage: "make a new key for a device and print its bundle: " +
				"the old keys work until the new one is first used",
			flags: bundleFlags(), run: rekeyDevice,
		},
		{name: "list", usage: "list devices", run: listDevices},
		{name: "show", args: "NAME", usage: "show a device with its keys", run: showDevice},
		{
			name: "revoke", args: "NAME",
			usage: "revoke a device's keys: its session ends and it cannot come back",
			flags: []cli.Flag{&cli.StringFlag{Name: "key", Usage: "only the key with this identity"}},
			run:   revokeDevice,
		},
		removal("NAME", "remove a device with its keys and grants", api.RemoveDevice),
	}
}

// bundleFlags say how a bundle is handed over.
func bundleFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Usage: terminal.JoinOr(formatNames()), DefaultText: "text"},
		&cli.StringFlag{Name: "out", TakesFile: true,
			Usage: "write to this new file, which only you may read, instead of printing"},
		&cli.StringFlag{Name: "gateway", EnvVars: []string{"LATCHKEY_ANNOUNCE"},
			Usage:       "`HOST[:PORT]` that the device will call: an address, or a name such as gw.local",
			DefaultText: "the gateway's own address"},
	}
}

func kindNames() (out []string) {
	for _, k := range keys.Kinds {
		out = append(out, string(k))
	}
	return out
}

func formatNames() (out []string) {
	for _, f := range provision.Formats {
		out = append(out, string(f))
	}
	return out
}

func addDevice(x *call) error {
	in := api.NewDevice{Name: x.arg(0), Kind: x.String("kind"), Targets: x.StringSlice("target"),
		Gateway: x.String("gateway")}
	return x.handOver("added", in, func() (api.Enrolled, []byte, error) {
		return callAPI(x, api.AddDevice, api.With(in))
	})
}

func rekeyDevice(x *call) error {
	d, _, err := callAPI(x, api.GetDevice, api.At(x.arg(0)))
	if err != nil {
		return err
	}
	like := api.NewDevice{Name: d.Name, Kind: d.Kind, Gateway: x.String("gateway")}
	for _, t := range d.Targets {
		like.Targets = append(like.Targets, t.Name)
	}
	return x.handOver("a new key for", like, func() (api.Enrolled, []byte, error) {
		return callAPI(x, api.RekeyDevice, api.AtWith(x.arg(0), api.NewKey{Gateway: like.Gateway}))
	})
}

// handOver requests a secret and gives it to the person at the terminal, or writes it to a file. It
// first makes sure that the secret can be shown.
func (x *call) handOver(done string, in api.NewDevice,
	ask func() (api.Enrolled, []byte, error)) (err error) {
	format, err := provision.ParseFormat(cmp.Or(x.String("format"), string(provision.Text)))
	if err != nil {
		return x.wrong("there is no format %q: want %s", terminal.ShortenWord(x.String("format")),
			terminal.JoinOr(formatNames()))
	}
	if x.json() && x.IsSet("format") && !x.IsSet("out") {
		return x.wrong("--json and --format exclude each other: give one of them")
	}
	if err := x.rehearse(in, format); err != nil {
		return err
	}
	if _, err := x.connect(); err != nil { // before there is a file
		return err
	}
	var out *secretFile
	if path := x.String("out"); path != "" {
		if out, err = createSecretFile(path); err != nil {
			return x.wrong("--out: %v: want a new file in an existing folder", err)
		}
		defer func() { err = out.finish(err) }()
	}
	got, raw, err := ask()
	if err != nil {
		return err
	}
	if err := x.hand(done, raw, got, format, out); err != nil {
		return fmt.Errorf("%s has the key, but its secret could not be written: "+
			"make another with latchkey device rekey %[1]s: %w", got.Name, err)
	}
	return nil
}

// hand writes the bundle to the place that the flags name.
func (x *call) hand(done string, raw []byte, got api.Enrolled, format provision.Format,
	out *secretFile) error {
	bundle, err := parseBundle(raw)
	if err != nil {
		return err
	}
	switch {
	case out == nil && x.json():
		return x.show(raw, nil)
	case out == nil:
		x.note("note: the secret below is shown once. Nobody can print it again.")
		return bundle.Write(x.App.Writer, format)
	}
	if err := bundle.Write(out, format); err != nil {
		return err
	}
	if raw, err = json.Marshal(got.Device); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	return x.show(raw, func(w io.Writer) {
		printLine(w, done+" "+got.Kind+" "+got.Name+
			"; its bundle with the secret is in "+x.String("out"))
	})
}

// rehearse writes a made-up bundle and discards it, to find errors before the real one is made.
func (x *call) rehearse(in api.NewDevice, format provision.Format) error {
	b := provision.Bundle{Device: in.Name, Kind: keys.Kind(in.Kind), Targets: in.Targets,
		Gateway:  provision.AddPort(cmp.Or(in.Gateway, "gateway.example")),
		Identity: keys.NewID(), Secret: keys.NewSecret()}
	if b.Check() != nil {
		return nil // the admin API gives a better error
	}
	if err := b.Write(io.Discard, format); err != nil {
		return x.wrong("%s", strings.TrimPrefix(err.Error(), "provision: "))
	}
	return nil
}

// parseBundle takes the bundle out of the answer by its own strict parser.
func parseBundle(answer []byte) (provision.Bundle, error) {
	var outer struct {
		Bundle json.RawMessage `json:"bundle"`
	}
	if err := json.Unmarshal(answer, &outer); err != nil {
		return provision.Bundle{}, fmt.Errorf("device: %w", err)
	}
	return provision.ParseBundle(bytes.NewReader(outer.Bundle))
}

// secretFile is a new file for a secret. It is gone again if the work fails.
type secretFile struct{ *os.File }

func createSecretFile(path string) (*secretFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &secretFile{f}, nil
}

func (f *secretFile) finish(err error) error {
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is ours and holds nothing of use
	}
	return err
}

func listDevices(x *call) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	return list(x, api.ListDevices, api.ListQuery{}, "NAME KIND TARGETS KEYS ONLINE HEARD ID",
		func(d api.Device) []string {
			online, heard := "", ""
			if d.Live != nil {
				online, heard = "no", inZone(d.Live.LastHeard, zone)
				if d.Live.Online {
					online = "yes"
				}
			}
			return []string{d.Name, d.Kind, names(d.Targets), keyStates(d.Keys), online, heard, string(d.ID)}
		})
}

// keyStates says how many keys are in which state, the state that matters most first.
func keyStates(of []api.Key) string {
	var out []string
	for _, state := range []keys.State{keys.Active, keys.Pending, keys.Retiring, keys.Revoked} {
		n := 0
		for _, k := range of {
			if k.State == string(state) {
				n++
			}
		}
		switch {
		case n == 1:
			out = append(out, string(state))
		case n > 1:
			out = append(out, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(out, ", ")
}

func showDevice(x *call) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	d, raw, err := callAPI(x, api.GetDevice, api.At(x.arg(0)))
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		printRow(w, []string{"name", d.Name})
		printRow(w, []string{"kind", d.Kind})
		printRow(w, []string{"targets", names(d.Targets)})
		printRow(w, []string{"created", inZone(d.Created, zone)})
		printRow(w, []string{"id", string(d.ID)})
		for _, k := range d.Keys {
			printRow(w, []string{"key", string(k.ID) + ", " + k.State + ", made " + inZone(k.Created, zone)})
		}
		if l := d.Live; l != nil {
			printRow(w, []string{"online", map[bool]string{true: "yes", false: "no"}[l.Online]})
			printRow(w, []string{"address", l.Addr})
			printRow(w, []string{"heard", inZone(l.LastHeard, zone)})
			printRow(w, []string{"state", deviceState(d.Kind, l)})
			for _, r := range l.Reports {
				printRow(w, []string{r.Name, strings.TrimSpace(fmt.Sprint(r.Value)+" "+r.Unit) + ", " +
					inZone(r.At, zone)})
			}
		}
	})
}

func deviceState(kind string, l *api.DeviceStatus) string {
	if !l.Known || l.State == nil {
		return "unknown"
	}
	words := map[bool]string{false: "off", true: "on"}
	if kind == string(keys.KindLock) {
		words = map[bool]string{false: "locked", true: "unlocked"}
	}
	s := words[l.State.On]
	if l.State.Level != 0 {
		s += fmt.Sprintf(", level %d", l.State.Level)
	}
	if l.State.Contact != "" && l.State.Contact != "unknown" {
		s += ", contact " + l.State.Contact
	}
	return s
}

func revokeDevice(x *call) error {
	if key := x.String("key"); key != "" {
		d, _, err := callAPI(x, api.GetDevice, api.At(x.arg(0)))
		if err != nil {
			return err
		}
		for _, k := range d.Keys {
			if string(k.ID) == key {
				return showChanges(x, api.RevokeKey, api.KeyInput{Key: key})
			}
		}
		return x.wrong("%s has no key %q: latchkey device show %s lists them", d.Name,
			terminal.ShortenWord(key), d.Name)
	}
	return showChanges(x, api.RevokeDevice, api.At(x.arg(0)))
}
