package store

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"latchkey/gateway/access"
	"latchkey/keys"
)

const (
	siteKeyLen    = 32
	siteKeyPrefix = "latchkey-site-key-1 "
	checkPrefix   = "latchkey-site-check-"
)

// crockford is the alphabet of every other text in latchkey, in lower case and without padding.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// siteKey is the 256-bit secret from which all others of a site are derived. It is used for nothing but deriving.
type siteKey [siteKeyLen]byte

// Format implements [fmt.Formatter] for every verb: a site key does not print.
func (siteKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// derive returns 32 bytes for one purpose: HKDF-SHA256 (RFC 5869), no salt, the label as info.
func (k siteKey) derive(label string) []byte {
	b, err := hkdf.Key(sha256.New, k[:], nil, "latchkey "+label, 32)
	if err != nil {
		panic(err) // only for a length that HKDF cannot give
	}
	return b
}

// siteKeys are the keys derived from the site key, one a purpose.
type siteKeys struct {
	seal, digest, credential, decoy, browser []byte
}

func (k siteKey) keys() siteKeys {
	return siteKeys{seal: k.derive("seal 1"), digest: k.derive("digest 1"), credential: k.derive("credential 1"), decoy: k.derive("decoy 1"),
		browser: k.derive("browser 1")}
}

func (k siteKeys) credentialID(uid []byte) access.CredentialID {
	m := hmac.New(sha256.New, k.credential)
	m.Write(uid)
	return access.CredentialID(m.Sum(nil))
}

func newSiteKey() (k siteKey) {
	_, _ = rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

func (k siteKey) text() string { return siteKeyPrefix + crockford.EncodeToString(k[:]) + "\n" }

// parseSiteKey accepts only what text returns. The error does not repeat the text.
func parseSiteKey(s string) (k siteKey, err error) {
	rest, ok := strings.CutPrefix(s, siteKeyPrefix)
	b, err := crockford.DecodeString(strings.TrimSuffix(rest, "\n"))
	if !ok || err != nil || len(b) != siteKeyLen {
		return siteKey{}, fmt.Errorf("%w: want one line of %q and 52 characters", ErrSiteKey, siteKeyPrefix)
	}
	if k = siteKey(b); k.text() != s {
		return siteKey{}, fmt.Errorf("%w: not in canonical form", ErrSiteKey)
	}
	return k, nil
}

// checkText is the content of site.check: it tells a wrong site key, or a newer format, before Badger is opened, because opening
// Badger writes.
func (k siteKey) checkText(format int) string {
	return fmt.Sprintf("%s%d %s\n", checkPrefix, format, crockford.EncodeToString(k.derive(fmt.Sprintf("site check %d", format))))
}

// files are the parts of a data folder.
type files struct{ dir, key, check, db string }

func (o Options) files() files {
	f := files{dir: o.Dir, key: o.KeyFile, check: filepath.Join(o.Dir, "site.check"), db: filepath.Join(o.Dir, "db")}
	if f.key == "" {
		f.key = filepath.Join(o.Dir, "site.key")
	}
	return f
}

// siteKeyFor returns the site key of the store in f. Only when there is no database yet does it write anything: the key, if there
// is none, an empty folder for the database, and last the check. So a check without that folder is a store that has lost its database.
func siteKeyFor(f files) (siteKey, error) {
	gone, err := absent(f.db)
	if err != nil {
		return siteKey{}, err
	}
	fresh := gone
	if !gone {
		inside, err := os.ReadDir(f.db)
		if err != nil {
			return siteKey{}, fmt.Errorf("store: %w", err)
		}
		fresh = len(inside) == 0 // the program ended before it made the database
	}
	k, err := readSiteKey(f.key)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !fresh:
		return siteKey{}, fmt.Errorf("store: %w: %s is missing, and without it the database cannot be read: put it back", ErrSiteKey, f.key)
	case errors.Is(err, fs.ErrNotExist):
		if gone, err := absent(f.check); err != nil || !gone {
			return siteKey{}, fmt.Errorf("store: %w: %s is missing but %s is there: put the key back, or remove both", ErrSiteKey, f.key, f.check)
		}
		k = newSiteKey()
		if err := writeNew(f.key, k.text()); err != nil {
			return siteKey{}, fmt.Errorf("store: write site key: %w", err)
		}
	case err != nil:
		return siteKey{}, err
	}
	if gone {
		if err := makeDatabaseFolder(f); err != nil {
			return siteKey{}, err
		}
	}
	return k, k.checkAgainst(f.check, fresh)
}

func makeDatabaseFolder(f files) error {
	switch first, err := absent(f.check); {
	case err != nil:
		return err
	case !first:
		return fmt.Errorf("store: %s is missing but %s is there: %w: put the database back, or remove %s and %s to begin anew",
			f.db, f.check, ErrCorrupt, f.check, f.key)
	}
	if err := os.Mkdir(f.db, 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return syncDir(f.dir)
}

func readSiteKey(path string) (siteKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return siteKey{}, fmt.Errorf("store: site key: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return siteKey{}, fmt.Errorf("store: %w: %s has mode %04o, others may read it: chmod 600 it", ErrSiteKey, path, perm)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return siteKey{}, fmt.Errorf("store: site key: %w", err)
	}
	k, err := parseSiteKey(string(b))
	if err != nil {
		return siteKey{}, fmt.Errorf("store: %s: %w", path, err)
	}
	return k, nil
}

// checkAgainst compares with the check file; with create it makes a missing one.
func (k siteKey) checkAgainst(path string, create bool) error {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		if err := writeNew(path, k.checkText(formatVersion)); err != nil {
			return fmt.Errorf("store: write %s: %w", path, err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: %w: %s is missing: put it back", ErrSiteKey, path)
	case err != nil:
		return fmt.Errorf("store: site check: %w", err)
	}
	var format int
	var rest string
	if _, err := fmt.Sscanf(string(b), checkPrefix+"%d %s\n", &format, &rest); err != nil {
		return fmt.Errorf("store: %s: %w", path, ErrCorrupt)
	}
	if format > formatVersion {
		return fmt.Errorf("store: %s: format %d, this program reads up to %d: %w", path, format, formatVersion, ErrFormat)
	}
	if !hmac.Equal(b, []byte(k.checkText(format))) {
		return fmt.Errorf("store: %w: not the key of this store", ErrSiteKey)
	}
	return nil
}

func absent(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// writeNew makes a file of mode 0600 that is either whole or not there, durable when it returns. It replaces nothing.
func writeNew(path, text string) (err error) {
	tmp := path + "." + keys.Random(10)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }()
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	// The folder's lock is held, so nobody makes the file between the look and the rename.
	if there, err := absent(path); err != nil || !there {
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
