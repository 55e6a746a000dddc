package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"
)

const known = "zk7rqh2m9xw4c0td8vpnj5bsy6"

func mustParse(t *testing.T, s string) Secret {
	t.Helper()
	secret, err := ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// leaks tells whether a text contains the known secret in one of the forms that fmt and the
// encoders write.
func leaks(text string) bool {
	for _, form := range []string{
		known, known[1:9], // the text, or a part of it
		fmt.Sprintf("%x", known), fmt.Sprintf("%X", known), fmt.Sprintf("% x", known),
		"122 107 55 114", "122,107,55,114", "0x7a, 0x6b, 0x37", // bytes
		base64.StdEncoding.EncodeToString([]byte(known[:9])),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestSecretPrintsRedacted(t *testing.T) {
	s := mustParse(t, known)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%+s", "%q", "%x", "%X", "% x", "%d", "%c", "%U",
		"%t", "%e", "%b", "%o", "%10s", "%.3s", "%z"} {
		if got := fmt.Sprintf(verb, s); got != redacted {
			t.Errorf("%s: got %s, want %s", verb, got, redacted)
		}
		if got := fmt.Sprintf(verb, &s); got != redacted {
			t.Errorf("%s of a pointer: got %s, want %s", verb, got, redacted)
		}
	}
	if got := fmt.Sprint(s); got != redacted {
		t.Errorf("Sprint: got %s", got)
	}
}

// fmt does not call methods of unexported fields, or for %p and a misplaced %w. In these cases it
// must not find the secret either.
func TestSecretStaysHiddenInsideOtherThings(t *testing.T) {
	s := mustParse(t, known)
	type hidden struct{ s Secret }
	type nested struct {
		P *Secret
		L []Secret
		M map[string]Secret
		h hidden
		a any
	}
	key := Key{ID: "lk-0000000000", Device: "front", Secret: s, State: Active, Created: time.Unix(0, 0)}
	for name, v := range map[string]any{
		"secret": s, "pointer": &s, "unexported field": hidden{s},
		"pointer to an unexported field": &hidden{s},
		"nested": nested{P: &s, L: []Secret{s}, M: map[string]Secret{"a": s},
			h: hidden{s}, a: s},
		"slice": []Secret{s}, "map": map[string]Secret{"a": s}, "key": key,
		"pointer to a key": &key,
		"keys":             []Key{key},
		"unexported key":   struct{ k Key }{key}, "any": []any{s}, "array": [1]Secret{s},
		"array of hidden": [1]hidden{{s}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%p", "%w",
			"%T", "%t"} {
			if got := fmt.Sprintf(verb, v); leaks(got) {
				t.Errorf("%s of %s: got %s", verb, name, got)
			}
			if got := fmt.Errorf("x: "+verb, v).Error(); leaks(got) {
				t.Errorf("%s of %s in an error: got %s", verb, name, got)
			}
		}
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var log bytes.Buffer
			l := slog.New(handler(&log)).With("with", v).WithGroup("g")
			l.Info("x", "k", v, slog.Group("group", "k", v))
			if leaks(log.String()) {
				t.Errorf("slog of %s: got %s", name, log.String())
			}
		}
		if got, _ := json.Marshal(v); leaks(string(got)) {
			t.Errorf("JSON of %s: got %s", name, got)
		}
		if got, _ := xml.Marshal(v); leaks(string(got)) {
			t.Errorf("XML of %s: got %s", name, got)
		}
		var page bytes.Buffer
		if err := template.Must(template.New("").Parse("{{.}} {{printf \"%s\" .}}")).Execute(&page,
			v); err != nil || leaks(page.String()) {
			t.Errorf("template of %s: got %s, %v", name, page.String(), err)
		}
	}
}

func TestSecretEncodesRedacted(t *testing.T) {
	s := mustParse(t, known)
	if got, err := json.Marshal(map[string]Secret{"s": s}); err != nil ||
		string(got) != `{"s":"[redacted]"}` {
		t.Errorf("JSON: got %s, %v", got, err)
	}
	if got, err := s.MarshalText(); err != nil || string(got) != redacted {
		t.Errorf("text: got %s, %v", got, err)
	}
	if got, err := json.Marshal(Key{ID: "lk-0000000000", Secret: s}); err != nil ||
		strings.Contains(string(got), "ecret") {
		t.Errorf("a key in JSON has no secret field: got %s, %v", got, err)
	}
	var back struct{ S Secret }
	if err := json.Unmarshal([]byte(`{"S":"[redacted]"}`), &back); err == nil || !back.S.IsZero() {
		t.Errorf("reading a redacted secret back: got %v, want an error", err)
	}
}

func TestSecretEqual(t *testing.T) {
	a, b := mustParse(t, known), mustParse(t, strings.Clone(known))
	other := mustParse(t, known[:25]+"t")
	for _, tc := range []struct {
		name string
		x, y Secret
		want bool
	}{
		{"the same text", a, b, true},
		{"itself", a, a, true},
		{"the last letter differs", a, other, false},
		{"zero and a secret", Secret{}, a, false},
		{"a secret and zero", a, Secret{}, false},
		{"two zero secrets are not equal", Secret{}, Secret{}, false},
	} {
		if got := tc.x.Equal(tc.y); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
	for _, v := range []any{Secret{}, Key{}} {
		if reflect.TypeOf(v).Comparable() {
			t.Errorf("%T can be compared with ==", v)
		}
	}
}

func TestSecretIsItsText(t *testing.T) {
	s := mustParse(t, known)
	if string(s.PSK()) != known || s.Reveal() != known || s.IsZero() {
		t.Error("the text is not the key")
	}
	p := s.PSK()
	clear(p)
	if s.Reveal() != known {
		t.Error("PSK does not return a copy: changing it changes the secret")
	}
	var zero Secret
	if zero.PSK() != nil || zero.Reveal() != "" || !zero.IsZero() {
		t.Error("the zero secret is not empty")
	}
	if got := fmt.Sprint(zero); got != redacted {
		t.Errorf("the zero secret: got %s, want %s", got, redacted)
	}
}

func TestParseCanonicalOnly(t *testing.T) {
	for _, bad := range []string{
		"", known[:25], known + "0", strings.ToUpper(known), known[:25] + "l", known[:25] + "o", known[:25] +
			"u",
		known[:25] + " ", known[:25] + "\n", " " + known[:25], known[:25] + "\x00", known[:24] + "é",
		known[:4] + "-" + known[5:],
	} {
		s, err := ParseSecret(bad)
		if !errors.Is(err, ErrMalformed) || !s.IsZero() {
			t.Errorf("secret %q: got %v, want ErrMalformed", bad, err)
		}
		if err != nil && len(bad) > 8 && strings.Contains(err.Error(), bad[3:9]) {
			t.Errorf("secret %q: the error repeats it", bad)
		}
	}
	for _, bad := range []string{
		"", "lk-", "0123456789", "lk-012345678", "lk-0123456789a", "LK-0123456789", "lk-012345678A",
		"lk-012345678i", "lk_0123456789", "lk-012345678\n", known,
	} {
		id, err := ParseID(bad)
		if !errors.Is(err, ErrMalformed) || id != "" || leaks(err.Error()) {
			t.Errorf("id %q: got %q, %v, want ErrMalformed without the text", bad, id, err)
		}
	}
	if id, err := ParseID("lk-0123456789"); err != nil || id != "lk-0123456789" {
		t.Errorf("got %q, %v", id, err)
	}
	for range 100 {
		if id := NewID(); id != must(ParseID(string(id))) {
			t.Errorf("a minted id does not parse: %q", id)
		}
		if s := NewSecret(); !s.Equal(must(ParseSecret(s.Reveal()))) {
			t.Error("a minted secret does not parse")
		}
	}
}

func must[T any](v T, _ error) T { return v }

func TestMintedOnce(t *testing.T) {
	ids, secrets := map[ID]bool{}, map[string]bool{}
	for range 2000 {
		ids[NewID()] = true
		secrets[NewSecret().Reveal()] = true
	}
	if len(ids) != 2000 || len(secrets) != 2000 {
		t.Errorf("got %d ids and %d secrets, want 2000 of each", len(ids), len(secrets))
	}
}

// Pearson's chi-square test over the 32 letters. With 31 degrees of freedom a good generator
// exceeds 95 once in ten million runs.
func TestRandomIsUniform(t *testing.T) {
	const n = 320_000
	var count [256]int
	for _, c := range []byte(Random(n)) {
		count[c]++
	}
	chi, want, total := 0.0, float64(n)/32, 0
	for _, c := range []byte(alphabet) {
		d := float64(count[c]) - want
		chi += d * d / want
		total += count[c]
	}
	if total != n {
		t.Errorf("got %d characters outside the alphabet", n-total)
	}
	if chi > 95 {
		t.Errorf("got chi square %.1f, want below 95: %v", chi, count)
	}
	if Random(0) != "" {
		t.Error("got characters, want none")
	}
}

func TestAlphabet(t *testing.T) {
	if len(alphabet) != 32 || 256%len(alphabet) != 0 {
		t.Fatalf("got %d letters, want 32", len(alphabet))
	}
	for i := range len(alphabet) {
		if strings.Count(alphabet, alphabet[i:i+1]) != 1 || strings.ContainsAny(alphabet[i:i+1], "iloUILO") {
			t.Errorf("letter %q", alphabet[i])
		}
	}
}

func TestDecoy(t *testing.T) {
	site := []byte("a site secret of some length")
	d := Decoy(site, []byte("lk-0123456789"))
	if len(d) != SecretLen || !canonical(string(d)) {
		t.Errorf("got %q, want it to look like a secret", d)
	}
	for name, tc := range map[string]struct {
		site, id []byte
		same     bool
	}{
		"the same identity gets the same decoy": {bytes.Clone(site), []byte("lk-0123456789"), true},
		"another identity gets another decoy":   {site, []byte("lk-012345678a"), false},
		"an empty identity gets another decoy":  {site, nil, false},
		"another site has another decoy": {[]byte("b site secret of some length"),
			[]byte("lk-0123456789"), false},
		"without a site secret it is another decoy": {nil, []byte("lk-0123456789"), false},
		"a very long identity gets another decoy":   {site, bytes.Repeat([]byte("x"), 65536), false},
	} {
		got := Decoy(tc.site, tc.id)
		if len(got) != SecretLen || !canonical(string(got)) {
			t.Errorf("%s: got %q, want it to look like a secret", name, got)
		}
		if bytes.Equal(got, d) != tc.same {
			t.Errorf("%s: got %q, and %q for the first identity", name, got, d)
		}
	}
	if !bytes.Equal(Decoy(nil, nil), Decoy([]byte{}, nil)) {
		t.Error("without a site secret the decoy changes within a process")
	}
	// This value must never change: the decoys of a gateway must stay the same after an upgrade.
	if want := "zs1ejvkf8x5kwy3ewgxdjmexsv"; string(d) != want {
		t.Errorf("got %s, want %s", d, want)
	}
}

func TestUsable(t *testing.T) {
	for state, want := range map[State]bool{
		Pending: true, Active: true, Retiring: true, Revoked: false, "": false, "ACTIVE": false,
		"activ": false, "unknown": false,
	} {
		if got := state.Usable(); got != want {
			t.Errorf("%q: got %v, want %v", state, got, want)
		}
	}
	if (Key{}).State.Usable() {
		t.Error("the zero key is usable")
	}
}
