// Package store keeps the policy, scan counters, the event chain, the website's sign-ins and the
// last addresses of devices in Badger, sealed, behind one batching writer. It does not decide who
// may do what, speaks no network protocol and returns no record in its stored form.
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
	"latchkey/keys"
)

// Sentinels for [errors.Is].
var (
	ErrLocked = folder.ErrLocked
	// The key is missing, malformed, readable by others or not this store's.
	ErrSiteKey = seal.ErrSiteKey
	// A file is missing, unexpected, too short or damaged, or a record does not open, vanished, or
	// was put back. The text names it.
	ErrCorrupt = folder.ErrCorrupt
	ErrFormat  = folder.ErrFormat  // this program cannot read it
	ErrNoSpace = folder.ErrNoSpace // ends by itself when there is space again
	// After a failed write every call returns ErrFailed, until the store is opened again.
	ErrFailed = errors.New("a write to the disk failed")
	ErrClosed = errors.New("closed")
	// A change or a sign-in is too big. Nothing was written; a change can be split.
	ErrTooBig  = errors.New("too big for one commit")
	ErrRefused = record.ErrRefused // a malformed attempt or event
)

// Damage is why a store is refused: see [folder.Damage].
type Damage = folder.Damage

// Options says where the store is and how it behaves. Set Dir or InMemory; every other field may be
// zero.
type Options struct {
	Dir      string // data folder: site.key, site.check and db/
	InMemory bool   // for tests and benchmarks: nothing on disk, a random site key
	KeyFile  string // site key; Dir/site.key if empty

	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // nothing is logged if nil
	// The least free space in bytes; 64 MiB if zero. Below it no store is made, nothing is granted,
	// and of policy changes only restrictions are accepted.
	MinFree uint64

	// Hold lets restrictions act in memory when there is no space for them. It is for a process
	// that keeps running.
	Hold bool

	// Free returns the free bytes on the store's disk. If nil the file system is asked. Tests
	// simulate a full disk with it.
	Free func() (uint64, error)
	// Fatal is called with the first error of the disk, from any goroutine. In production it does
	// not return but ends the process, because nothing may build on a write that failed. If nil the
	// store only fails.
	Fatal func(error)

	// BeforeCommit is for tests, which delay or observe writes with it. The writer calls it before
	// each durable write. nil in production.
	BeforeCommit func()
	// Fault is for tests. It runs after BeforeCommit, and an error from it counts as a failed
	// commit. nil in production.
	Fault func() error

	// Child returns a command that runs [TrialMain] in a child process of the same program. Open
	// tries the store out there first. So if a damaged file makes the database engine crash, only
	// the child ends. If nil the trial runs in this process.
	Child func(context.Context) *exec.Cmd

	witness    time.Duration // least time between writes of site.head; witnessEvery if zero
	small      bool          // memtables of 256 KB, for tests that need many tables
	checkpoint uint64        // write the counters after so many events; checkpointEvents if zero
	memTable   int64         // bytes of Badger's memtable; 4 MiB if zero
	ballast    int64         // bytes of the ballast; defaultBallast if zero

	syncFault func() error // for tests: an error from it counts as a failed sync of MANIFEST
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

// Store is an open store. Its methods may be called from any goroutine. One goroutine does all
// writing; [Open] starts it and [Store.Close] waits for it.
type Store struct {
	opts Options
	log  *slog.Logger
	db   *engine.DB
	lock *os.File // flock on the data folder; nil in memory

	sealer seal.Sealer
	reader *reader.Reader
	keys   seal.Keys
	queue  chan *request
	quit   chan struct{} // closed by Close: no more requests are accepted
	gone   chan struct{} // closed when the writer has ended

	admissions, recordings sync.Pool // requests that were answered

	witnessed chan struct{} // closed when site.head is not written any more; nil in memory

	now     atomic.Pointer[published]
	removed atomic.Uint64 // the newest event that is removed or about to be
	failed  atomic.Pointer[failure]
	fatal   sync.Once

	ballast *folder.Ballast // nil in memory
	held    atomic.Int64    // restrictions that act in memory only
	pace    engine.Pace

	unkept sync.Map // recordKey → record.SignIn: sign-ins kept in memory only

	verified atomic.Pointer[verification]

	onChange  atomic.Pointer[func(record.PolicyChange)]
	newEvents bell // rings after a commit with events
	newPolicy bell

	// Held for reading by all that read db, except the writer: Close unmaps the files.
	reads sync.RWMutex

	closeOnce sync.Once
	closeErr  error
}

// published is what readers see: one consistent state, replaced as a whole after each commit.
type published struct {
	policy *access.Policy // in effect, with restrictions that are not durable
	kept   *access.Policy // as it is on disk
	head   record.Head
	cut    record.Cut
}

type failure struct{ cause error }

func (o Options) files() folder.Files { return folder.NameFiles(o.Dir, o.KeyFile) }

// Snapshot returns the policy after the last commit, together with the restrictions that act in
// memory only. It is immutable.
func (s *Store) Snapshot() *access.Policy { return s.now.Load().policy }

// Head returns the sequence number and hash of the newest durable event; zero for an empty chain.
func (s *Store) Head() (seq uint64, hash keys.Hash) {
	h := &s.now.Load().head
	return h.Seq, h.Hash
}

// Digest returns the keyed digest over all policy, device and key records after the last commit.
func (s *Store) Digest() keys.Hash { return keys.Hash(s.now.Load().head.Policy.Sum.Bytes()) }

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

// LastEventAt returns the latest time of any event after Site.TimeTrusted, and false if there is
// none. A clock that is behind it is wrong.
func (s *Store) LastEventAt() (time.Time, bool) {
	at := s.now.Load().head.Latest
	return at, !at.IsZero()
}

// CredentialID returns the id of a card in the store: HMAC-SHA256 of its UID under a key derived
// from the site key.
func (s *Store) CredentialID(uid []byte) access.CredentialID {
	return s.keys.CredentialID(uid)
}

// DecoySecret returns the site secret for [keys.Decoy]. The caller owns the copy.
func (s *Store) DecoySecret() []byte { return append([]byte(nil), s.keys.Decoy...) }

// BrowserSecret returns the site secret that signs the cookie of a browser in which somebody has
// signed in before. The caller owns the copy.
func (s *Store) BrowserSecret() []byte { return append([]byte(nil), s.keys.Browser...) }

// HeadLogKey returns the key of the codes in head.log, which is outside the store.
func (s *Store) HeadLogKey() []byte { return s.keys.HeadLog }

// OnChange has f called with each policy change that becomes durable, before [Store.Head] and
// [Store.Snapshot] have it. The writer calls it, so f must neither wait nor call the store.
func (s *Store) OnChange(f func(record.PolicyChange)) { s.onChange.Store(&f) }

// SessionSealer returns the sealer of saved sessions, which are outside the store, and their name.
func (s *Store) SessionSealer() (seal.Sealer, string) {
	return seal.New(s.keys.Sessions), "sessions 1 " + s.keys.SiteID
}

// SiteID returns the id of this site, which is in all that is sent out. It follows from the site key:
// a copy of the store has the same, and no other store has it.
func (s *Store) SiteID() access.ID { return access.ID(s.keys.SiteID) }

// Failed returns nil, or, after an error of the disk, an [ErrFailed] that wraps the cause. Then
// nothing is decided any more.
func (s *Store) Failed() error {
	if f := s.failed.Load(); f != nil {
		return fmt.Errorf("store: %w: %w", ErrFailed, f.cause)
	}
	return nil
}

// failDisk ends the use of the store, and in production the process, before anything builds on a
// write that failed.
func (s *Store) failDisk(err error) {
	if s.failed.CompareAndSwap(nil, &failure{err}) {
		if s.opts.Fatal == nil {
			s.log.Error("disk failed", "err", s.Failed())
		}
	}
	if s.opts.Fatal != nil {
		// A second caller waits here until the process has ended.
		s.fatal.Do(func() { s.opts.Fatal(s.Failed()) })
	}
}

// Close ends the writer, answers queued requests with [ErrClosed], waits for reads under way, and
// closes the database. Closing twice is harmless.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.quit)
		<-s.gone
		s.newEvents.ring() // who waits sees the store closed
		s.newPolicy.ring()
		if s.witnessed != nil {
			<-s.witnessed
		}
		s.reads.Lock()
		defer s.reads.Unlock()
		if err := s.writeLastWitness(); err != nil {
			// In production this ends the process, before Badger deletes the .mem file.
			s.failDisk(fmt.Errorf("site.head: %w", err))
		}
		if err := s.db.Close(); err != nil {
			s.closeErr = fmt.Errorf("store: close: %w", err)
		}
		if n, err := s.measureFree(); err == nil {
			s.ballast.Fill(n, s.opts.MinFree) // before another process takes the space that Badger has freed
		}
		if s.lock != nil {
			_ = s.lock.Close() // releases the flock
		}
	})
	return s.closeErr
}

// readIfOpen runs f in a read-only transaction, unless the store is closed or failed.
func (s *Store) readIfOpen(ctx context.Context, f func(*badger.Txn) error) error {
	s.reads.RLock()
	defer s.reads.RUnlock()
	if err := s.checkUsable(ctx); err != nil {
		return err
	}
	return s.db.ReadTxn(f)
}

// checkUsable returns why the store cannot be read any more, or nil.
func (s *Store) checkUsable(ctx context.Context) error {
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
