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

// The gateway's periodic check finds damage in the store and reports it in the doctor, the metrics
// and the log. Doors still open, because decisions do not read the disk.
func TestDamageIsFoundWhileTheGatewayRuns(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{Dir: t.TempDir()})
	said := &processLog{}
	d.verifyEvery, d.logTo = 100*time.Millisecond, said
	d.stop()
	if err := d.store.Close(); err != nil { // which writes the data to a table file
		t.Fatal(err)
	}
	d.openStore()
	d.start()
	d.connectNodes(d.addr, d.addr)
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
	d.waitForVerification(t, "", "")
	d.tapUntilGranted("while the store is whole", time.Now())
	for _, damage := range []struct {
		name string
		do   func() error
	}{
		{"flipped", func() error { return writeByte(table, whole[len(whole)/3]^1, int64(len(whole)/3)) }},
		{"emptied", func() error { return os.Truncate(table, 0) }},
		{"removed", func() error { return os.Rename(table, filepath.Join(d.dir, "gone")) }},
	} {
		before := len(said.String())
		if err := damage.do(); err != nil {
			t.Fatal(err)
		}
		d.waitForVerification(t, damage.name, name)
		eventually(t, damage.name+": the log says so", time.Minute, func() bool {
			return strings.Contains(said.String()[before:],
				`level=ERROR msg="store damaged" err="store: `+name)
		})
		d.tapUntilGranted("while a table is "+damage.name, time.Now())
		if w := d.callAPI("GET", "/healthz", ""); w.Code != http.StatusOK {
			t.Errorf("%s: healthz: got %d %s: want 200, because doors still open", damage.name, w.Code,
				w.Body)
		}
		for _, ask := range [][3]string{{"GET", "/v1/events?limit=200"},
			{"POST", "/v1/persons", `{"name":"person-` + damage.name + `"}`}} {
			if w := d.callAPI(ask[0], ask[1], ask[2]); w.Code >= 300 && !strings.Contains(w.Body.String(),
				"latchkey audit verify tells which") &&
				!strings.Contains(w.Body.String(), "the seal does not open") {
				t.Errorf("%s: %s %s: got %d %s, want success, or the reason why not", damage.name, ask[0],
					ask[1], w.Code, w.Body)
			}
		}
		d.tapUntilGranted("after reads of the "+damage.name+" table", time.Now())
		// Restore the content, in the same file if it still exists, because the gateway has it
		// mapped.
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
		d.waitForVerification(t, damage.name+" and restored", "")
	}
}

// writeByte writes one byte at an offset.
func writeByte(path string, b byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b}, at)
	return errors.Join(err, f.Close())
}

// waitForVerification waits until the doctor and the metrics show the result of a verification:
// damage of the named file, or no damage if file is empty.
func (d *door) waitForVerification(t *testing.T, when, file string) {
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
	eventually(t, when+": the doctor shows the state of the store", time.Minute, func() bool {
		diagnosis, found := d.diagnose("")
		text = found
		if diagnosis.Verified == nil || diagnosis.Verified.OK != (file == "") ||
			!strings.Contains(diagnosis.Verified.Problem, file) {
			return false
		}
		return strings.Contains(found, "store") == (file != "") &&
			strings.Contains(d.callAPI("GET", "/metrics", "").Body.String(), metric)
	})
}
