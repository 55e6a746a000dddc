package takeover

import (
	"bytes"
	"encoding/gob"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pion/dtls/v3"
)

// example is a state as pion exports it.
func example() exported {
	return exported{HandshakeComplete: true, LocalEpoch: 1, RemoteEpoch: 1, LocalRandom: [32]byte{1},
		RemoteRandom: [32]byte{2}, CipherSuiteID: 0xc0a8, MasterSecret: make([]byte, masterSize), SequenceNumber: 1}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadRefuses(t *testing.T) {
	if _, err := read(encode(t, example())); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(x *exported){
		"the handshake is not complete": func(x *exported) { x.HandshakeComplete = false },
		"epochs 0 and 1":                func(x *exported) { x.LocalEpoch = 0 },
		"epochs 1 and 2":                func(x *exported) { x.RemoteEpoch = 2 },
		"unknown cipher suite 0xc0ae":   func(x *exported) { x.CipherSuiteID = 0xc0ae },
		"master secret of 0 bytes":      func(x *exported) { x.MasterSecret = nil },
		"master secret of 47 bytes":     func(x *exported) { x.MasterSecret = x.MasterSecret[1:] },
		"a random is missing":           func(x *exported) { x.LocalRandom = [32]byte{} },
		"random is missing":             func(x *exported) { x.RemoteRandom = [32]byte{} },
		"pion has sent no Finished":     func(x *exported) { x.SequenceNumber = 0 },
	} {
		x := example()
		change(&x)
		if s, err := read(encode(t, x)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %+v, %v", name, s, err)
		}
	}
	good := encode(t, example())
	for n := range good {
		if _, err := read(good[:n]); err == nil {
			t.Errorf("its first %d bytes: got no error", n)
		}
	}
	for _, b := range [][]byte{{0}, {0x80}, {0xf6, 1}, append([]byte{0xf8}, bytes.Repeat([]byte{0xff}, 8)...),
		append(bytes.Clone(good), 0), []byte("no gob at all")} {
		if _, err := read(b); err == nil {
			t.Errorf("%x: got no error", b)
		}
	}
	if _, err := read(good); err != nil {
		t.Errorf("after these: %v", err)
	}
}

// One decoder reads the states of many sessions, and nothing of one is in another.
func TestDecodeMany(t *testing.T) {
	d := new(decoder)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 100 {
				x := example()
				x.SequenceNumber = uint64(i*1000 + k + 1)
				x.MasterSecret = bytes.Repeat([]byte{byte(i)}, masterSize)
				if k%2 == 0 {
					x.IdentityHint, x.IsClient = bytes.Repeat([]byte("k"), k+1), true
				}
				if got, err := d.decode(encode(t, x)); err != nil || !reflect.DeepEqual(got, x) {
					t.Errorf("got %+v, %v, want %+v", got, err, x)
				}
			}
		})
	}
	wg.Wait()
	// Another description of the types, as another version of pion would have.
	other := struct {
		CipherSuiteID uint16
		Extra         string
	}{0xc0a4, "x"}
	if got, err := d.decode(encode(t, other)); err != nil || got.CipherSuiteID != 0xc0a4 || got.LocalEpoch != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := d.decode(encode(t, struct{ CipherSuiteID string }{"text"})); err == nil {
		t.Error("a field of another type: got no error")
	}
	broken := encode(t, example())
	at, _ := findValue(broken)
	for i := at + 3; i < len(broken); i++ { // the same description, and another value
		b := bytes.Clone(broken)
		b[i] = 0xff
		_, _ = d.decode(b)
		if got, err := d.decode(broken); err != nil || !reflect.DeepEqual(got, example()) {
			t.Fatalf("after byte %d was wrong: got %+v, %v", i, got, err)
		}
	}
	if got, err := d.decode(encode(t, example())); err != nil || !reflect.DeepEqual(got, example()) {
		t.Errorf("after an error: got %+v, %v", got, err)
	}
	if b := d.in.AvailableBuffer(); bytes.ContainsFunc(b[:cap(b)], func(r rune) bool { return r != 0 }) {
		t.Error("the last state is left in the buffer")
	}
}

func TestCheck(t *testing.T) {
	if err := Check(); err != nil {
		t.Fatalf("pion has changed: %v", err)
	}
	typ := reflect.TypeFor[exported]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		err := check(&changed{without: name})
		if err == nil || !strings.Contains(err.Error(), name+" any more; build with") {
			t.Errorf("without %s: got %v", name, err)
		}
	}
	for _, s := range []state{&changed{in: errors.New("broken")}, &changed{out: errors.New("broken")},
		&changed{garbage: true}} {
		if err := check(s); err == nil || !strings.Contains(err.Error(), "go.mod") {
			t.Errorf("got %v", err)
		}
	}
}

// changed is pion's state, but with a change that another version could have.
type changed struct {
	dtls.State
	without string
	in, out error
	garbage bool
}

func (c *changed) UnmarshalBinary(b []byte) error {
	if c.in != nil {
		return c.in
	}
	return c.State.UnmarshalBinary(b)
}

func (c *changed) MarshalBinary() ([]byte, error) {
	if c.out != nil || c.garbage {
		return []byte{1}, c.out
	}
	b, err := c.State.MarshalBinary()
	if err != nil || c.without == "" {
		return b, err
	}
	x, err := new(decoder).decode(b)
	if err != nil {
		return nil, err
	}
	reflect.ValueOf(&x).Elem().FieldByName(c.without).SetZero()
	var out bytes.Buffer
	err = gob.NewEncoder(&out).Encode(x)
	return out.Bytes(), err
}

// BenchmarkTakeOver measures from pion's closed connection to the keys.
func BenchmarkTakeOver(b *testing.B) {
	_, server := connect(b, dtls.TLS_PSK_WITH_AES_128_CCM_8, nil, []byte("12345678"))
	server.takeOver(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Export(server.conn); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode compares the kept decoder with a new one for each state.
func BenchmarkDecode(b *testing.B) {
	state := encode(b, example())
	kept := new(decoder)
	b.Run("kept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := kept.decode(state); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := new(decoder).decode(state); err != nil {
				b.Fatal(err)
			}
		}
	})
}
