package console_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/admin/api"

	"github.com/go-webauthn/webauthn/webauthn"
)

// softKey is a passkey in software, by W3C WebAuthn 6.1 and 6.3.3. The browser tests use Chromium's
// own. This one works with a clock that a test moves.
type softKey struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	id      []byte
	account api.Account
}

var b64 = base64.RawURLEncoding.EncodeToString

// newSoftKey gives an account a passkey.
func newSoftKey(c *castle, account string) *softKey {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	k := &softKey{t: c.t, key: key, id: []byte("a passkey in software")}
	point, err := key.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		c.t.Fatal(err)
	}
	// RFC 9053, 7.1.1: EC2, ES256, P-256
	cose := append([]byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33]...)
	cose = append(append(cose, 0x22, 0x58, 32), point[33:]...)
	credential, err := json.Marshal(webauthn.Credential{ID: k.id, PublicKey: cose, AttestationType: "none",
		Flags: webauthn.CredentialFlags{UserPresent: true, UserVerified: true}})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := json.Marshal(api.NewPasskey{Label: "soft", ID: k.id, Credential: credential})
	if err != nil {
		c.t.Fatal(err)
	}
	c.must("POST", "/v1/accounts/"+account+"/passkeys", string(body), &k.account)
	return k
}

// signChallenge returns the answer to a challenge of the site.
func (k *softKey) signChallenge(site, challenge string) string {
	k.t.Helper()
	client, err := json.Marshal(map[string]any{"type": "webauthn.get", "challenge": challenge,
		"origin": "https://" + site, "crossOrigin": false})
	if err != nil {
		k.t.Fatal(err)
	}
	rp, hash := sha256.Sum256([]byte(site)), sha256.Sum256(client)
	// present and verified; the signature counter is 0
	data := binary.BigEndian.AppendUint32(append(rp[:], 0x05), 0)
	digest := sha256.Sum256(append(data[:len(data):len(data)], hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, k.key, digest[:])
	if err != nil {
		k.t.Fatal(err)
	}
	out, err := json.Marshal(map[string]any{"id": b64(k.id), "rawId": b64(k.id), "type": "public-key",
		"clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data),
			"signature": b64(sig), "userHandle": b64([]byte(k.account.ID))}})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(out)
}

// askChallenge asks the site for a challenge.
func (b *rawClient) askChallenge() string {
	b.c.t.Helper()
	b.c.now = b.c.now.Add(time.Second)
	w := b.post("/passkey")
	var options struct{ Challenge string }
	if err := json.Unmarshal(w.Body.Bytes(), &options); err != nil || options.Challenge == "" {
		b.c.t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return options.Challenge
}

// Each challenge is valid for one answer, for five minutes, and on this site only. Nobody can make
// other challenges void by asking for many.
func TestPasskeyChallenges(t *testing.T) {
	c := newCastle(t)
	k := newSoftKey(c, "owner")
	owner := c.newClient("192.0.2.7:1")
	in := func(signed string) bool {
		t.Helper()
		b := c.newClient("192.0.2.8:1") // an answer may come from another browser
		return b.post("/sign-in/passkey", "step-passkey", signed).Header().Get("Location") == "/"
	}
	first := owner.askChallenge()
	for range 3000 {
		c.newClient("203.0.113.9:1").post("/passkey")
	}
	signed := k.signChallenge("door.example", first)
	if !in(signed) {
		t.Error("while others ask for many challenges: got refused, want in")
	}
	if in(signed) {
		t.Error("the same answer again: got in")
	}
	older, newer := owner.askChallenge(), owner.askChallenge()
	if !in(k.signChallenge("door.example", newer)) || in(k.signChallenge("door.example", older)) {
		t.Error("want the newer challenge in, and the older one void after it")
	}
	late := owner.askChallenge()
	c.now = c.now.Add(5*time.Minute + 1)
	if in(k.signChallenge("door.example", late)) {
		t.Error("after five minutes: got in")
	}
	good := owner.askChallenge()
	for what, text := range map[string]string{"none": "", "noise": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"another end": good[:len(good)-2] + "AA",
		"padded":      good + "=", "long": strings.Repeat("A", 1000)} {
		if text != good && in(k.signChallenge("door.example", text)) {
			t.Errorf("a challenge that is not ours (%s): got in", what)
		}
	}
	if in(k.signChallenge("evil.example", good)) {
		t.Error("signed for another site: got in")
	}
	if !in(k.signChallenge("door.example", good)) {
		t.Error("wrong answers made the challenge void")
	}
}
