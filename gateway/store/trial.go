package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// trial opens a store without changing it. Badger gets a scratch folder with copies of its small
// files, cut where Badger would cut them, and links to the tables and the value log, which it opens
// for reading only.
type trial struct {
	Dir     string `json:"dir"`
	KeyFile string `json:"keyFile,omitempty"`
	// Name of the scratch folder. The parent removes it, because a child may crash.
	Scratch string `json:"scratch"`
	All     bool   `json:"all,omitempty"` // read every byte and the whole chain, not only the newest part

	// For a repair: open the store with these tables instead of those that MANIFEST names.
	Given bool              `json:"given,omitempty"`
	Live  map[uint64]uint32 `json:"live,omitempty"`
}

// tried is the result of a trial.
type tried struct {
	First  uint64         `json:"first"` // the first event that is kept
	Seq    uint64         `json:"seq"`
	Hash   keys.Hash      `json:"hash"`
	Empty  []string       `json:"empty,omitempty"` // logs without a byte, which Badger cannot open
	Damage *folder.Damage `json:"damage,omitempty"`
	Error  string         `json:"error,omitempty"` // any other error, and its kind
	Kind   string         `json:"kind,omitempty"`
}

// kinds are the sentinels that a child can report to its parent.
var kinds = map[string]error{"format": ErrFormat, "site key": ErrSiteKey, "space": ErrNoSpace,
	"corrupt": ErrCorrupt}

func (r *tried) err() error {
	switch {
	case r.Damage != nil:
		return r.Damage
	case r.Error != "" && kinds[r.Kind] != nil:
		return told{r.Error, kinds[r.Kind]}
	case r.Error != "":
		return errors.New(r.Error)
	}
	return nil
}

// told is an error that a child process reported.
type told struct {
	text string
	is   error
}

func (e told) Error() string { return e.text }
func (e told) Unwrap() error { return e.is }

// TrialMain runs a trial for the parent process, see [Options.Child], and returns the exit status.
func TrialMain(in io.Reader, out io.Writer) int {
	var t trial
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return 2
	}
	debug.SetGCPercent(50)
	if err := json.NewEncoder(out).Encode(t.run(context.Background())); err != nil {
		return 1
	}
	return 0
}

// runTrial runs a trial, in a child process if Child is set.
func (o Options) runTrial(ctx context.Context, t trial) (*tried, error) {
	t.Scratch = "latchkey-trial-" + rand.Text()
	defer func() {
		for _, parent := range folder.ScratchParents(t.Dir) {
			_ = os.RemoveAll(filepath.Join(parent, t.Scratch))
		}
	}()
	if o.Child == nil {
		r := t.run(ctx)
		return r, r.err()
	}
	ask, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("store: trial: %w", err)
	}
	cmd := o.Child(ctx)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(ask), &out, &said
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var r tried
	if err == nil {
		if err = json.Unmarshal(out.Bytes(), &r); err == nil {
			return &r, r.err()
		}
	}
	if why := folder.ParsePanic(said.String()); why != "" {
		return nil, o.blameFile(why)
	}
	return nil, fmt.Errorf("store: %s could not be tried out (%w); nothing was changed: see that this "+
		"machine has memory and space left, and start again", o.Dir, err)
}

// blameFile finds the file that made the database engine crash. The child's survey may have read
// only a part of the files, or a file may have been damaged since.
func (o Options) blameFile(why string) error {
	if err := folder.TakeSurvey(o.files().DB, math.MaxInt64).Damage(); err != nil {
		return err
	}
	return folder.DescribeCrash(why)
}

// run tries the store out in this process.
func (t trial) run(ctx context.Context) (r *tried) {
	r = &tried{}
	defer func() {
		if p := recover(); p != nil {
			r.Damage = folder.DescribeCrash(fmt.Sprint(p))
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that became shorter raises SIGBUS
	if err := t.examine(ctx, r); err != nil && !errors.As(err, &r.Damage) {
		r.Error = err.Error()
		for name, kind := range kinds {
			if errors.Is(err, kind) {
				r.Kind = name
			}
		}
	}
	return r
}

func (t trial) examine(ctx context.Context, r *tried) error {
	f := Options{Dir: t.Dir, KeyFile: t.KeyFile}.files()
	k, err := folder.ReadSiteKey(f.Key)
	if err != nil {
		return err
	}
	if err := folder.CheckKey(k, f); err != nil {
		return err
	}
	w, err := folder.ReadWitness(f.Head, k.DeriveKeys())
	if err != nil {
		return err
	}
	limit := int64(folder.SurveyBytes)
	if t.All {
		limit = math.MaxInt64
	}
	v := folder.TakeSurvey(f.DB, limit)
	live := v.Live
	if t.Given {
		live = t.Live
	} else if err := v.Damage(); err != nil {
		return err
	}
	r.Empty = v.EmptyLogs()
	return t.open(v, k, live, func(s *Store, txn *badger.Txn) error {
		img, err := s.reader.Read(ctx, txn)
		if err == nil {
			r.First, r.Seq, r.Hash = img.Cut.Seq+1, img.Head.Seq, img.Head.Hash
			_, err = record.Codecs.Policy.New().With(img.Records...)
		}
		if err == nil && w != nil {
			err = s.reader.CheckWitness(txn, w, img, v.CountMems())
		}
		if err == nil && t.All {
			err = s.reader.WalkAll(ctx, txn, img, func(*record.Event) error { return nil })
		}
		return s.reader.ExplainDamage(ctx, txn, err)
	})
}

// open opens what the survey found, with these tables, in a scratch folder, and calls f with it.
func (t trial) open(v *folder.Survey, k seal.SiteKey, live map[uint64]uint32,
	f func(*Store, *badger.Txn) error) error {
	dir, err := v.MakeScratch(t.Scratch, live)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &Store{opts: Options{}.withDefaults(), log: slog.New(slog.DiscardHandler), keys: k.DeriveKeys()}
	s.reader = reader.New(s.keys)
	if s.db, err = engine.OpenScratch(dir); err != nil {
		return &folder.Damage{Name: "db/", What: strings.TrimSpace(err.Error()),
			Whole: "each of its files matches its checksums", Do: folder.DoRepair}
	}
	defer func() { _ = s.db.Close() }()
	return s.db.View(func(txn *badger.Txn) error { return f(s, txn) })
}

// removeEmptyLogs removes empty logs after a successful trial: they hold nothing, and Badger cannot
// open them.
func (s *Store) removeEmptyLogs(f folder.Files, r *tried) error {
	for _, name := range r.Empty {
		if err := os.Remove(filepath.Join(f.DB, name)); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		s.log.Warn("empty log removed", "file", "db/"+name)
	}
	// From here on .mem files may change until the store is open.
	if w, err := folder.ReadWitness(f.Head, s.keys); err != nil || w == nil || !w.Open {
		return err
	}
	return s.ballast.Replace(f.Head, folder.Witness{Seq: r.Seq, Hash: r.Hash}.Text(s.keys))
}

// trialWait is the longest time of a trial. With a million events a trial takes a second or two,
// from an SD card perhaps a minute.
const trialWait = 10 * time.Minute
