package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/store"
)

// TestDamageIsFoundWhileTheGatewayRuns: the check that it makes by itself finds it and says so
// everywhere, and doors go on, because decisions do not read the disk.
func TestDamageIsFoundWhileTheGatewayRuns(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{Dir: t.TempDir()})
	said := &processLog{}
	d.verify, d.said = 100*time.Millisecond, said
	d.stop()
	if err := d.store.Close(); err != nil { // which makes a table of what there is
		t.Fatal(err)
	}
	d.open()
	d.start()
	d.connect(d.addr, d.addr)
	tables, err := filepath.Glob(filepath.Join(d.dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("got %v, %v, want a table", tables, err)
	}
	table := tables[0]
	name := "db/" + filepath.Base(table)
	whole, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	d.verified(t, "", "")
	d.granted("while the store is whole", time.Now())
	for _, damage := range []struct {
		name string
		do   func() error
	}{
		{"flipped", func() error { return write(table, whole[len(whole)/3]^1, int64(len(whole)/3)) }},
		{"emptied", func() error { return os.Truncate(table, 0) }},
		{"removed", func() error { return os.Rename(table, filepath.Join(d.dir, "gone")) }},
	} {
		before := len(said.String())
		if err := damage.do(); err != nil {
			t.Fatal(err)
		}
		d.verified(t, damage.name, name)
		eventually(t, damage.name+": the log says so", time.Minute, func() bool {
			return strings.Contains(said.String()[before:], `level=ERROR msg="store damaged" err="store: `+name)
		})
		d.granted("while a table is "+damage.name, time.Now())
		if w := d.call("GET", "/healthz", ""); w.Code != http.StatusOK {
			t.Errorf("%s: healthz: got %d %s: a card that may enter is let in", damage.name, w.Code, w.Body)
		}
		for _, ask := range [][3]string{{"GET", "/v1/events?limit=200"}, {"POST", "/v1/persons", `{"name":"person-` + damage.name + `"}`}} {
			if w := d.call(ask[0], ask[1], ask[2]); w.Code >= 300 && !strings.Contains(w.Body.String(),
				"latchkey audit verify tells which") &&
				!strings.Contains(w.Body.String(), "the seal does not open") {
				t.Errorf("%s: %s %s: got %d %s, want it done, or why not", damage.name, ask[0], ask[1],
					w.Code, w.Body)
			}
		}
		d.granted("after what reads the "+damage.name+" table", time.Now())
		// It is put back, into the file that is mapped if that is still there.
		if _, err := os.Stat(table); err != nil {
			err = os.Rename(filepath.Join(d.dir, "gone"), table)
			if err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.OpenFile(table, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt(whole, 0)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		d.verified(t, damage.name+" and put back", "")
	}
}

// write writes one byte at an offset.
func write(path string, b byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b}, at)
	return errors.Join(err, f.Close())
}

// verified waits until the doctor and the metrics say that the store was verified, with a damage of
// the named file or, with "", as whole.
func (d *door) verified(t *testing.T, when, file string) {
	t.Helper()
	metric := "latchkey_store_damaged 0"
	if file != "" {
		metric = "latchkey_store_damaged 1"
	}
	var text string
	defer func() {
		if t.Failed() {
			t.Log(text)
		}
	}()
	eventually(t, when+": the doctor says of the store what is true", time.Minute, func() bool {
		diagnosis, found := d.diagnose("")
		text = found
		if diagnosis.Verified == nil || diagnosis.Verified.OK != (file == "") ||
			!strings.Contains(diagnosis.Verified.Problem, file) {
			return false
		}
		return strings.Contains(found, "store") == (file != "") &&
			strings.Contains(d.call("GET", "/metrics", "").Body.String(), metric)
	})
}
