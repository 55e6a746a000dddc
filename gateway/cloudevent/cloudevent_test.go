package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

var update = flag.Bool("update", false, "write the vectors anew")

var from = Source{Site: "h3n8p2r5tv", Epoch: 1}

// fields calls f with each field of an event that is not a struct of ours, and its path.
func fields(t *testing.T, v reflect.Value, path string, f func(path string, v reflect.Value)) {
	t.Helper()
	for i := range v.NumField() {
		name := strings.TrimPrefix(path+"."+v.Type().Field(i).Name, ".")
		if v.Field(i).Type() == reflect.TypeFor[audit.Named]() {
			fields(t, v.Field(i), name, f)
			continue
		}
		f(name, v.Field(i))
	}
}

// fill writes a value to a field. Each variant is another value, and each text names its field.
func fill(t *testing.T, path string, v reflect.Value, variant int) {
	t.Helper()
	switch v.Interface().(type) {
	case audit.EventKind:
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 28, 21, 55, variant, 123456789, time.UTC)))
		return
	case keys.Hash:
		v.Set(reflect.ValueOf(keys.Hash{byte(len(path)), byte(variant)}))
		return
	case wire.Action:
		v.Set(reflect.ValueOf([]wire.Action{wire.Level, wire.Unlock}[variant%2]))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("canary-%s-%d", path, variant))
	case reflect.Uint64:
		v.SetUint(uint64(770_000 + 10*len(path) + variant))
	case reflect.Uint8:
		v.SetUint(uint64(70 + variant))
	case reflect.Bool:
		v.SetBool(variant == 0)
	default:
		t.Fatalf("the event has a field %s of type %v: say here how to fill it", path, v.Type())
	}
}

// canary returns an event with a canary in every field.
func canary(t *testing.T, kind audit.EventKind) audit.Event {
	t.Helper()
	ev := audit.Event{Kind: kind}
	fields(t, reflect.ValueOf(&ev).Elem(), "", func(path string, v reflect.Value) { fill(t, path, v, 0) })
	return ev
}

// sent are the fields that are sent of each kind, beside those of every event. Names are marked
// with *: they are sent only with names.
var sent = map[audit.EventKind]string{
	audit.EventDecision: "Device.ID Device.Name* Target.ID Target.Name* Person.ID Person.Name* " +
		"Actor* Source Action Level Granted Reason Rule ClockUntrusted",
	audit.EventReceipt:      "Device.ID Device.Name* Target.ID Target.Name* Action Level Outcome Cause",
	audit.EventPolicy:       "Actor* Digest",
	audit.EventSession:      "Device.ID Device.Name*",
	audit.EventReport:       "Device.ID Device.Name* Target.ID Target.Name*",
	audit.EventAlarm:        "Device.ID Device.Name* Target.ID Target.Name* Reason Cause",
	audit.EventAcknowledged: "Device.ID Device.Name* Target.ID Target.Name* Actor* Reason Cause",
	audit.EventStale:        "Device.ID Device.Name* Target.ID Target.Name*",
	audit.EventThrottle:     "Device.ID Device.Name*",
	audit.EventFull:         "Device.ID Device.Name*",
	audit.EventSignIn:       "Actor* Granted",
	audit.EventSink:         "Actor* Reason",
	audit.EventIntegration:  "Target.ID Target.Name* Actor* Source Reason",
	audit.EventBackup:       "Actor*",
	audit.EventRestore:      "Actor*",
	audit.EventRollback:     "Device.ID Device.Name* Reason",
	audit.EventTimeTrusted:  "",
	audit.EventStart:        "Digest",
	audit.EventStop:         "",
}

// Nothing leaves but what is listed above: whatever else of an event changes, the bytes do not, and
// no text of it is in them. A new field of an event and a new kind are covered by themselves.
func TestNothingElseLeaves(t *testing.T) {
	for _, kind := range audit.EventKinds {
		list, ok := sent[kind]
		if !ok || members[kind] == nil {
			t.Errorf("%s: nothing says what is sent", kind)
			continue
		}
		for _, o := range []Options{{WithNames: true}, {}} {
			want := []string{"At", "Hash", "Prev", "Seq"} // of every event
			for f := range strings.FieldsSeq(list) {
				name, isName := strings.CutSuffix(f, "*")
				if o.WithNames || !isName {
					want = append(want, name)
				}
			}
			ev := canary(t, kind)
			before := encodeEvent(t, ev, o)
			fields(t, reflect.ValueOf(&ev).Elem(), "", func(path string, v reflect.Value) {
				old := reflect.ValueOf(v.Interface())
				fill(t, path, v, 1)
				changed := !bytes.Equal(encodeEvent(t, ev, o), before)
				v.Set(old)
				if listed := slices.Contains(want, path); changed != listed {
					t.Errorf("%s, names %v: %s is sent: %v, want %v", kind, o.WithNames, path,
						changed, listed)
				}
				if !slices.Contains(want, path) && bytes.Contains(before, []byte("canary-"+path+"-")) {
					t.Errorf("%s, names %v: %s is in %s", kind, o.WithNames, path, before)
				}
			})
		}
	}
	if len(sent) != len(audit.EventKinds) || len(members) != len(audit.EventKinds) {
		t.Errorf("%d and %d kinds have a list, want %d", len(sent), len(members), len(audit.EventKinds))
	}
	if _, err := Encode(audit.Event{Kind: "new"}, from, Options{}); !errors.Is(err, ErrKind) {
		t.Errorf("a kind without a list: got %v, want ErrKind", err)
	}
}

func encodeEvent(t *testing.T, ev audit.Event, o Options) []byte {
	t.Helper()
	out, err := Encode(ev, from, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Of a text in Detail only a word of ours is sent.
func TestDetailIsAWord(t *testing.T) {
	for _, tt := range []struct {
		kind              audit.EventKind
		detail, want, not string
	}{
		{audit.EventSession, "closed (and 3 more changes since the event before)",
			`"change":"closed"`, "more"},
		{audit.EventSession, "offline: its registration was not renewed", `"change":"offline"`, "renewed"},
		{audit.EventSession, "ended: its key was revoked, or its device changed",
			`"change":"ended"`, "revoked"},
		{audit.EventSession, "replaced by a newer session", `"change":"replaced"`, "newer"},
		{audit.EventSession, "lk-4kq0m3x7tz", `"device"`, "4kq0m3x7tz"},
		{audit.EventReport, `started: "canary"`, `"report":"started"`, "canary"},
		{audit.EventReport, "exit button pressed", `"report":"exit"`, "pressed"},
		{audit.EventReport, "tampered with again, 7 times", `"report":"tampered-again"`, "7 times"},
		{audit.EventReport, "canary", `"device"`, "canary"},
	} {
		ev := audit.Event{Kind: tt.kind, Device: audit.Named{ID: "a1b2c3d4e5", Name: "n"}, Detail: tt.detail}
		got := string(encodeEvent(t, ev, Options{WithNames: true}))
		if !strings.Contains(got, tt.want) || strings.Contains(got, tt.not) {
			t.Errorf("%s: got %s, want %s and no %q", tt.detail, got, tt.want, tt.not)
		}
	}
}

func TestSignInSaysNoMoreThanIsKnown(t *testing.T) {
	for name, tt := range map[string]struct {
		ev    audit.Event
		wants string
	}{
		"granted": {audit.Event{Granted: true, Reason: "granted", Actor: "ada"},
			`{"kind":"sign-in","actor":"ada","granted":true}`},
		"refused, and the name may be a password": {audit.Event{Reason: audit.ReasonRefused,
			Actor: "hunter2"},
			`{"kind":"sign-in","granted":false}`},
		"an older event": {audit.Event{Actor: "ada", Detail: "from 192.0.2.1, with password"},
			`{"kind":"sign-in"}`},
	} {
		tt.ev.Kind = audit.EventSignIn
		if got := encodeEvent(t, tt.ev, Options{WithNames: true}); !bytes.Contains(got, []byte(tt.wants)) {
			t.Errorf("%s: got %s, want %s", name, got, tt.wants)
		}
	}
}

// The form does not change by accident: receivers depend on it.
func TestVectors(t *testing.T) {
	var got bytes.Buffer
	for _, o := range []Options{{WithNames: true}, {}} {
		for _, ev := range chain(t) {
			got.Write(append(encodeEvent(t, ev, o), '\n'))
		}
	}
	path := filepath.Join("testdata", "events.jsonl")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the form differs from %s, which -update writes anew:\n%s", path, got.Bytes())
	}
}

// chain returns one event of each kind, each with the hash of the one before.
func chain(t *testing.T) []audit.Event {
	t.Helper()
	var out []audit.Event
	var prev keys.Hash
	for i, kind := range audit.EventKinds {
		ev := canary(t, kind)
		ev.Seq, ev.Prev, ev.Hash = uint64(4711+i), prev, keys.Hash{0x9f, byte(i + 1)}
		ev.Device, ev.Target = audit.Named{ID: "0a1b2c3d4e", Name: "front-reader"},
			audit.Named{ID: "a1b2c3d4e5", Name: "front-door"}
		ev.Person = audit.Named{ID: "p1q2r3s4t5", Name: "Ånn <ann&co> \"x\""}
		prev = ev.Hash
		out = append(out, ev)
	}
	return out
}

// The SDK of CloudEvents, which no program of ours contains, accepts each event, also those of odd
// text. It also finds that each event follows on the one before.
func TestSDKAccepts(t *testing.T) {
	judge := filepath.Join(t.TempDir(), "sdk")
	if out, err := exec.Command("go", "build", "-C", filepath.Join("peers", "sdk"), "-o", judge,
		".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var lines bytes.Buffer
	n := 0
	for _, ev := range chain(t) {
		ev.Actor = "\u0000\u0085\ufffe tab\t" + strings.Repeat("é", 300)
		lines.Write(append(encodeEvent(t, ev, Options{WithNames: true}), '\n'))
		n++
	}
	_, body, err := EncodeTest(from, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	lines.Write(append(body, '\n'))
	if got, err := runJudge(judge, lines.Bytes()); err != nil || got != fmt.Sprintf("%d valid, %d linked\n",
		n+1, n-1) {
		t.Errorf("got %q, %v", got, err)
	}
	broken := bytes.Replace(lines.Bytes(), []byte(`"prevhash":"9f03`), []byte(`"prevhash":"9f04`), 1)
	if got, err := runJudge(judge, broken); err == nil {
		t.Errorf("a broken chain: got %q, want an error", got)
	}
	if !json.Valid(body) {
		t.Errorf("not JSON: %s", body)
	}
}

func runJudge(path string, lines []byte) (string, error) {
	cmd := exec.Command(path)
	cmd.Stdin = bytes.NewReader(lines)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
