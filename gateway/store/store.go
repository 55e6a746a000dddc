// Package store keeps policy, scan counters, the event chain, the console's sign-ins and where
// actuators were last in Badger, sealed, behind one batching writer. It decides nothing about who
// may do what, speaks no network protocol and gives no record out in its stored form.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// Sentinels for [errors.Is].
var (
	ErrLocked = folder.ErrLocked
	// The key is missing, malformed, readable by others or not this store's.
	ErrSiteKey = seal.ErrSiteKey
	// A file is missing, too much, too short or damaged, or a record does not open, vanished, or
	// was put back; the text names it.
	ErrCorrupt = folder.ErrCorrupt
	ErrFormat  = folder.ErrFormat  // this program cannot read it
	ErrNoSpace = folder.ErrNoSpace // recovers by itself when there is space again
	// ErrFailed is also what everything after it fails with, until the store is opened again.
	ErrFailed = errors.New("a write to the disk failed")
	ErrClosed = errors.New("closed")
	// A change that must be split, or a sign-in; nothing of it was written.
	ErrTooBig  = errors.New("too big for one commit")
	ErrRefused = record.ErrRefused // a malformed attempt or event
)

// Damage is why a store is refused: see [folder.Damage].
type Damage = folder.Damage

// Options says where the store is and what it may rely on. The zero value of every field but Dir
// and InMemory is usable.
type Options struct {
	Dir      string // data folder: site.key, site.check and db/
	InMemory bool   // for tests and benchmarks: nothing on disk, a random site key
	KeyFile  string // site key; Dir/site.key if empty

	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // nothing is logged if nil
	// Bytes; 64 MiB if zero. Below it no store is made, and grants and policy changes are refused
	// but for restrictions.
	MinFree uint64

	// Hold lets restrictions act in memory when there is no space to keep them, for a process that
	// goes on.
	Hold bool

	// Free tells the free bytes where the store is; the file system is asked if nil. Tests fill the
	// disk here.
	Free func() (uint64, error)
	// Fatal is told of the first error of the disk, and does not return in production: it ends the
	// process, because nothing may be built on what was not written. If nil the store only fails.
	// It is called from any goroutine.
	Fatal func(error)

	// BeforeCommit runs before each durable write, in the writer: tests stall or observe it here.
	// nil in production.
	BeforeCommit func()
	// Fault runs after BeforeCommit; an error from it stands for a commit that failed. nil in
	// production.
	Fault func() error

	// Child makes a command that runs [TrialMain] in a process of its own, of the same program.
	// Open tries the store out there before it opens it here, so that what a damaged file does to
	// the database engine befalls the child. If nil it is tried out in this process.
	Child func(context.Context) *exec.Cmd

	witness    time.Duration // how often site.head is written at the most; witnessEvery if zero
	small      bool          // memtables of 256 KB, for tests of what Badger does with tables
	checkpoint uint64        // after how many events the counters are written; checkpointEvents if zero
	memTable   int64         // bytes of Badger's memtable; 4 MiB if zero
	ballast    int64         // bytes that are set aside; defaultBallast if zero

	syncFault func() error // an error from it stands for a failed sync of MANIFEST
}

const defaultMinFree = 64 << 20

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.witness == 0 {
		o.witness = witnessEvery
	}
	if o.checkpoint == 0 {
		o.checkpoint = checkpointEvents
	}
	if o.ballast == 0 {
		o.ballast = defaultBallast
	}
	if o.memTable == 0 {
		o.memTable = engine.DefaultMemTable
	}
	return o
}

// Store is an open store. Its methods may be called from any goroutine. Everything that writes goes
// through one goroutine, which [Open] starts and [Store.Close] waits for.
type Store struct {
	opts Options
	log  *slog.Logger
	db   *engine.DB
	lock *os.File // flock on the data folder; nil in memory

	sealer seal.Sealer
	reader *reader.Reader
	keys   seal.Keys
	queue  chan *request
	quit   chan struct{} // closed by Close: nothing more is taken
	gone   chan struct{} // closed when the writer has ended

	witnessed chan struct{} // closed when site.head is not written any more; nil in memory

	now    atomic.Pointer[published]
	failed atomic.Pointer[failure]
	fatal  sync.Once

	ballast *folder.Ballast // nil in memory
	held    atomic.Int64    // restrictions that act in memory only
	pace    pace

	unkept sync.Map // recordKey → record.SignIn: sign-ins that there was no space for

	verified atomic.Pointer[verification]

	wakeMu sync.Mutex
	// Guarded by wakeMu; closed after the next commit with events; nil while nobody waits.
	wake chan struct{}

	// Held for reading by everything but the writer that reads db: Close unmaps what they look at.
	reads sync.RWMutex

	closeOnce sync.Once
	closeErr  error
}

// published is what readers see: one consistent state, replaced as a whole after each commit.
type published struct {
	policy *access.Policy // as it acts: with restrictions that are not durable
	kept   *access.Policy // as it is on disk
	head   record.Head
}

type failure struct{ cause error }

func (o Options) files() folder.Files { return folder.NameFiles(o.Dir, o.KeyFile) }

// Snapshot returns the policy as of the last commit, and with the restrictions that act in memory
// only. It is immutable.
func (s *Store) Snapshot() *access.Policy { return s.now.Load().policy }

// Head returns the sequence number and hash of the newest durable event; zero for an empty chain.
func (s *Store) Head() (seq uint64, hash access.Hash) {
	h := &s.now.Load().head
	return h.Seq, h.Hash
}

// Digest returns the keyed digest over all policy, device and key records as of the last commit.
func (s *Store) Digest() access.Hash { return access.Hash(s.now.Load().head.Policy.Sum.Bytes()) }

// Tag returns a short text that is another one when anything of the record is: whoever has seen a
// record can tell by it whether that has changed since. No secret follows from it.
func (s *Store) Tag(r access.Record) (string, error) {
	key, plain, err := record.EncodeRecord(r)
	if err != nil {
		return "", err
	}
	leaf := record.NewLeafer(s.keys.Digest).Leaf(key, plain).Bytes()
	sum := sha256.Sum256(leaf[:])
	return hex.EncodeToString(sum[:8]), nil
}

// LastEventAt returns the latest time that any event after Site.TimeTrusted carries, and false when
// there is none. A clock behind it is not to be trusted.
func (s *Store) LastEventAt() (time.Time, bool) {
	at := s.now.Load().head.Latest
	return at, !at.IsZero()
}

// CredentialID returns the id under which a card is kept: HMAC-SHA256 of its UID under a key
// derived from the site key.
func (s *Store) CredentialID(uid []byte) access.CredentialID {
	return s.keys.CredentialID(uid)
}

// DecoySecret returns the site secret for [keys.Decoy]. The caller owns the copy.
func (s *Store) DecoySecret() []byte { return append([]byte(nil), s.keys.Decoy...) }

// BrowserSecret returns the site secret with which the console signs what a browser keeps in which
// somebody has signed in. The caller owns the copy.
func (s *Store) BrowserSecret() []byte { return append([]byte(nil), s.keys.Browser...) }

// Failed returns nil, or why nothing is decided any more: an error that is [ErrFailed] and wraps
// the cause.
func (s *Store) Failed() error {
	if f := s.failed.Load(); f != nil {
		return fmt.Errorf("store: %w: %w", ErrFailed, f.cause)
	}
	return nil
}

// diskFailed ends the use of the store, and in production the process, before anything is done that
// builds on what was not written.
func (s *Store) diskFailed(err error) {
	if s.failed.CompareAndSwap(nil, &failure{err}) {
		if s.opts.Fatal == nil {
			s.log.Error("disk failed", "err", s.Failed())
		}
	}
	if s.opts.Fatal != nil {
		// Whoever comes second waits until the process has ended.
		s.fatal.Do(func() { s.opts.Fatal(s.Failed()) })
	}
}

// Close ends the writer, answers what is still queued with [ErrClosed], waits for reads under way,
// and closes the database. Closing twice is harmless.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.quit)
		<-s.gone
		s.signal() // wakes followers, who then see the store closed
		if s.witnessed != nil {
			<-s.witnessed
		}
		s.reads.Lock()
		defer s.reads.Unlock()
		if err := s.lastWitness(); err != nil {
			s.log.Warn("site.head not written", "err", err)
		}
		if err := s.db.Close(); err != nil {
			s.closeErr = fmt.Errorf("store: close: %w", err)
		}
		if n, err := s.free(); err == nil {
			s.ballast.Fill(n, s.opts.MinFree) // before somebody else takes what Badger has given back
		}
		if s.lock != nil {
			_ = s.lock.Close() // releases the flock
		}
	})
	return s.closeErr
}

// view runs f in a read-only transaction, unless the store is closed or failed.
func (s *Store) view(ctx context.Context, f func(*badger.Txn) error) error {
	s.reads.RLock()
	defer s.reads.RUnlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.look(f)
}

// look runs f in a read-only transaction: see [engine.DB.Look].
func (s *Store) look(f func(*badger.Txn) error) error { return s.db.Look(f) }

// usable returns why the store cannot be read any more, or nil.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.gone:
		return fmt.Errorf("store: %w", ErrClosed)
	default:
		return s.Failed()
	}
}
