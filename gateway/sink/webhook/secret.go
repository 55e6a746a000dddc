package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"latchkey/keys"
)

// Bounds of a secret, in bytes, as Standard Webhooks has them.
const (
	minSecret  = 24
	maxSecret  = 64
	mintSecret = 32
)

const prefix = "whsec_"

// MintSecret returns a new random secret.
func MintSecret() keys.Hidden {
	var b [mintSecret]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return keys.Hide(prefix + base64.StdEncoding.EncodeToString(b[:]))
}

// CheckSecret returns what is wrong with a secret. The error does not repeat it.
func CheckSecret(text string) error {
	_, err := parseSecret(text)
	return err
}

func parseSecret(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	key, err := base64.StdEncoding.Strict().DecodeString(rest)
	// Not canonical: the decoder skips line ends.
	if !ok || err != nil || base64.StdEncoding.EncodeToString(key) != rest {
		return nil, errors.New("the secret of a webhook is whsec_ and base64")
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("the secret has %d bytes: want %d to %d", len(key), minSecret, maxSecret)
	}
	return key, nil
}

// sign returns the webhook-signature of a message: one signature for each secret, so that a
// receiver may know either.
func sign(secrets []keys.Hidden, id string, at int64, body []byte) string {
	var all []string
	for _, s := range secrets {
		key, err := parseSecret(s.Reveal())
		if err != nil {
			continue // New has checked it
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", id, at)
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}
