package folder

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Mend installs a proven state of the tables and says what it did, for people. Before it replaces
// files it copies them into the folder aside. aside is empty if it replaced nothing.
func Mend(f Files, k seal.SiteKey, v *Survey, live map[uint64]uint32,
	now time.Time) (done []string, aside string, err error) {
	files := map[string][]byte{}
	want, err := encodeManifest(live)
	if err != nil {
		return nil, "", err
	}
	done = []string{}
	if v.Live == nil || !maps.Equal(live, v.Live) {
		files["MANIFEST"] = want
		done = append(done, fmt.Sprintf("MANIFEST names %d tables, which are all there", len(live)))
	}
	for _, d := range v.damages {
		switch d.Name {
		case "db/KEYREGISTRY":
			files["KEYREGISTRY"] = append([]byte(keys.Random(16)), registry...)
			done = append(done, "KEYREGISTRY made anew: it held no key")
		case "db/DISCARD":
			files["DISCARD"] = make([]byte, discardSize)
			done = append(done, "DISCARD made anew: it held nothing of use")
		}
	}
	if aside, err = keepAside(f, files, now); err != nil {
		return nil, "", err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := put(f.DB, name, files[name]); err != nil {
			return nil, "", fmt.Errorf("store: repair: %w", err)
		}
	}
	if gone, err := IsAbsent(f.Check); err == nil && gone {
		if err := writeNew(f.Check, k.CheckText(FormatVersion)); err != nil {
			return nil, "", fmt.Errorf("store: write %s: %w", f.Check, err)
		}
		done = append(done, "site.check written anew: the site key opens the database")
	}
	return done, aside, SyncPath(f.Dir)
}

// keepAside copies those of the files that exist in db/ into a new folder. It returns the folder's
// name, or nothing if there was no file.
func keepAside(f Files, files map[string][]byte, now time.Time) (aside string, err error) {
	dir := filepath.Join(f.Dir, "aside-"+now.UTC().Format("20060102T150405Z"))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		old, err := os.ReadFile(filepath.Join(f.DB, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("store: repair: %w", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("store: %w", err)
		}
		aside = dir
		if err := replace(filepath.Join(dir, name), old); err != nil {
			return "", fmt.Errorf("store: repair: %w", err)
		}
	}
	return aside, nil
}

// put replaces a file of db/. It writes to a name that Badger ignores if a crash leaves it there.
func put(db, name string, content []byte) error {
	tmp := filepath.Join(db, "MANIFEST-REWRITE")
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	if err := errors.Join(SyncPath(tmp), os.Rename(tmp, filepath.Join(db, name))); err != nil {
		return err
	}
	if b, err := os.ReadFile(filepath.Join(db, name)); err != nil || !bytes.Equal(b, content) {
		return fmt.Errorf("%s is not as it was written: %w", name, err)
	}
	return SyncPath(db)
}
