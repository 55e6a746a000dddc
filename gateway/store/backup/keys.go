package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Recipient is the public key of somebody who can open a backup.
type Recipient = age.Recipient

// Identity opens a backup.
type Identity = age.Identity

// Bounds on what people give.
const (
	MaxRecipients = 16
	maxKeyFile    = 64 << 10
	// minPassphrase is how many characters a passphrase must have: the file may be stolen, and
	// then it can be guessed for years.
	minPassphrase = 16
	// maxWork bounds what a hostile file can make us compute: 1 GB of memory. We write 2^18.
	maxWork = 20
)

// ParseRecipients reads recipients of the forms age1… and age1pq….
func ParseRecipients(texts []string) ([]Recipient, error) {
	if len(texts) == 0 || len(texts) > MaxRecipients {
		return nil, fmt.Errorf("want 1 to %d recipients", MaxRecipients)
	}
	var out []Recipient
	hybrid := 0
	for i, text := range texts {
		var r Recipient
		var err error
		if strings.HasPrefix(text, "age1pq1") {
			hybrid++
			r, err = age.ParseHybridRecipient(text)
		} else {
			r, err = age.ParseX25519Recipient(text)
		}
		if err != nil { // its text may hold a secret key that somebody gave by mistake
			return nil, fmt.Errorf("recipient %d: want age1… or age1pq1…, as age-keygen prints it", i+1)
		}
		out = append(out, r)
	}
	if hybrid != 0 && hybrid != len(out) {
		return nil, errors.New("recipients age1… and age1pq1… do not go together: " +
			"the file would be no safer than for age1… alone")
	}
	return out, nil
}

// ReadRecipientFile reads recipients, one on each line. Empty lines and lines that begin with # do
// not count.
func ReadRecipientFile(r io.Reader) (texts []string, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxKeyFile))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			texts = append(texts, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("recipients: %w", err)
	}
	return texts, nil
}

// ReadIdentities reads a file with secret keys as age-keygen writes it. No error repeats its text.
func ReadIdentities(r io.Reader) ([]Identity, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil || len(ids) == 0 {
		return nil, errors.New("want a file with lines that begin with AGE-SECRET-KEY-, as age-keygen writes it")
	}
	return ids, nil
}

// OpenWithPassphrase returns the identity of somebody who knows a passphrase.
func OpenWithPassphrase(text string) ([]Identity, error) {
	id, err := age.NewScryptIdentity(text)
	if err != nil {
		return nil, errors.New("the passphrase is empty")
	}
	id.SetMaxWorkFactor(maxWork)
	return []Identity{id}, nil
}

// CheckPassphrase refuses a new passphrase that is too short.
func CheckPassphrase(text string) error {
	if len([]rune(text)) < minPassphrase {
		return fmt.Errorf("the passphrase has fewer than %d characters: take some words that nobody would guess",
			minPassphrase)
	}
	return nil
}

// NewPassing makes a key pair for one backup on its way through this process.
func NewPassing() (id Identity, recipient string, err error) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", fmt.Errorf("backup: %w", err)
	}
	return x, x.Recipient().String(), nil
}

// work is the binary logarithm of scrypt's cost for a new passphrase: about a second. It is a
// variable for tests.
var work = 18

// Reencrypt encrypts a backup with a passphrase instead. It has checked that the whole of it came
// when it returns nil, and keeps no plaintext but a few buffers in memory.
func Reencrypt(dst io.Writer, src io.Reader, id Identity, passphrase string) error {
	if err := CheckPassphrase(passphrase); err != nil {
		return err
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	to.SetWorkFactor(work)
	plain, err := age.Decrypt(src, id)
	if err != nil {
		return fmt.Errorf("%w (it cannot be opened: %w)", ErrDamaged, err)
	}
	out, err := age.Encrypt(dst, to)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := io.Copy(out, plain); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// AsksPassphrase tells whether a file opens with a passphrase, from its first bytes.
func AsksPassphrase(begin []byte) bool {
	return bytes.HasPrefix(begin, []byte("age-encryption.org/v1\n-> scrypt "))
}
