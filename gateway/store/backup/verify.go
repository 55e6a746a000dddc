package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Head is an event's number and hash, which somebody kept elsewhere.
type Head struct {
	Seq  uint64
	Hash keys.Hash
}

// Expected is what a backup is compared with.
type Expected struct {
	Fingerprint string // of the site; "": any
	Head        *Head  // nil: none
}

// Contents counts what is in a backup.
type Contents struct {
	Records uint64 // policy records
	Events  uint64
}

// Verify reads the rest of the backup and checks all of it: that it is whole, that the site of the
// header has signed it, that each record can be read, both digests, and the chain of events up to
// the header's head. It keeps one record. If no fingerprint is expected, a backup that a stranger
// made of a site of his own passes: whoever knows a recipient can write one.
func (r *Reader) Verify(ctx context.Context, want Expected) (Contents, error) {
	if want.Fingerprint != "" && !sameText(want.Fingerprint, r.Header.Fingerprint()) {
		return Contents{}, fmt.Errorf("%w (it is signed by %s, and you expect %s)", ErrSigner,
			r.Header.Fingerprint(), want.Fingerprint)
	}
	x := examination{r: r, want: want.Head, seq: r.Header.From}
	if x.seq > 0 {
		x.seq--
	}
	for {
		if err := ctx.Err(); err != nil {
			return Contents{}, err
		}
		key, plain, err := r.Next()
		if errors.Is(err, io.EOF) {
			return x.found, x.finish()
		}
		if err != nil {
			return Contents{}, err
		}
		if err := x.take(key, plain); err != nil {
			return Contents{}, explainRecord(key, err)
		}
	}
}

// explainRecord says what is wrong with a record.
func explainRecord(key record.Key, err error) error {
	switch {
	case errors.Is(err, seal.ErrFormat):
		return fmt.Errorf("%w (%v)", ErrNewer, key)
	case errors.Is(err, ErrHead):
		return err
	}
	return fmt.Errorf("%w (%v: %w)", ErrDamaged, key, err)
}

// examination is what has been seen of a backup.
type examination struct {
	r        *Reader
	want     *Head
	found    Contents
	head     record.Head
	cut      record.Cut // what was removed of the chain
	leaf     record.Leafer
	policy   record.Tally
	counters record.Tally
	seq      uint64    // of the last event
	hash     keys.Hash // of the last event
	stated   bool      // the policy event carries the digest
	format   bool      // the format record was seen
	headed   bool      // the head record was seen
	met      bool      // the expected head was seen
}

func (x *examination) take(key record.Key, plain []byte) (err error) {
	switch key.Kind() {
	case record.KindMeta:
		return x.takeMeta(key, plain)
	case record.KindEvent:
		return x.takePage(key, plain)
	case record.KindChange:
		if seq := key.Seq(); seq == 0 || seq > x.r.Header.Head || seq < x.r.Header.From {
			return errors.New("there is no such event in the backup")
		}
		_, err = record.Decode[record.ChangeRecord](plain)
		return err
	case record.KindCounter:
		x.counters = x.counters.With(x.leafOf(key, plain))
		_, err = record.DecodeCounter(plain)
		return err
	case record.KindCursor:
		_, err = record.DecodeCursor(plain)
		return err
	case record.KindDead:
		sink, seq := key.Dead()
		if sink == "" {
			return errors.New("no such key")
		}
		_, err = record.DecodeDead(seq, plain)
		return err
	}
	x.found.Records++
	x.policy = x.policy.With(x.leafOf(key, plain))
	_, err = record.DecodeRecord(key, plain)
	return err
}

func (x *examination) leafOf(key record.Key, plain []byte) record.Sum {
	if x.leaf == (record.Leafer{}) {
		x.leaf = record.NewLeafer(x.r.keys.Digest)
	}
	return x.leaf.Leaf(key, plain)
}

func (x *examination) takeMeta(key record.Key, plain []byte) (err error) {
	if key == record.FormatKey {
		x.format = true
		f, err := record.Decode[record.FormatRecord](plain)
		if err == nil && f.Format > folder.FormatVersion {
			err = seal.ErrFormat
		}
		return err
	}
	if key == record.CutKey {
		x.cut, err = record.DecodeCut(plain, x.r.keys.SigningPublic())
		x.seq, x.hash = x.cut.Seq, x.cut.Hash
		return err
	}
	if key != record.HeadKey {
		return seal.ErrFormat
	}
	x.headed = true
	if x.head, err = record.DecodeHead(plain); err != nil {
		return err
	}
	x.stated = x.cut.PolicyAt == x.head.PolicyAt && x.cut.Policy == x.r.Header.Policy
	if x.head.Cut != x.cut.Seq {
		return fmt.Errorf("events up to %d were removed, and it says %d", x.cut.Seq, x.head.Cut)
	}
	h := &x.r.Header
	if x.head.Seq != h.Head || x.head.Hash != h.HeadHash || x.head.Policy.Count != h.PolicyCount ||
		x.head.Policy.Sum.Bytes() != h.Policy {
		return errors.New("not as the header says")
	}
	return nil
}

func (x *examination) takePage(key record.Key, plain []byte) error {
	page, err := record.DecodePage(key.Seq(), plain)
	if err != nil {
		return err
	}
	for i := range page {
		ev := &page[i]
		first := x.found.Events == 0 && x.r.Header.From > 1 // what it follows is in another backup
		switch x.seq++; {
		case ev.Seq != x.seq:
			return fmt.Errorf("event %d is missing before it", x.seq)
		case ev.Seq > x.r.Header.Head:
			return fmt.Errorf("the header says that event %d is the last", x.r.Header.Head)
		case ev.Prev != x.hash && !first:
			return fmt.Errorf("event %d does not follow event %d", ev.Seq, ev.Seq-1)
		case x.want != nil && x.want.Seq == ev.Seq:
			if x.met = true; x.want.Hash != ev.Hash {
				return headDiffers(ev.Seq)
			}
		}
		x.hash = ev.Hash
		x.found.Events++
		if ev.Seq == x.head.PolicyAt && ev.Kind == audit.EventPolicy && ev.Digest == x.r.Header.Policy {
			x.stated = true
		}
	}
	return nil
}

func headDiffers(seq uint64) error {
	return fmt.Errorf("%w: its event %d has another hash: it is of another site, or one of the two was changed",
		ErrHead, seq)
}

// finish checks what only the whole shows.
func (x *examination) finish() error {
	h := &x.r.Header
	fail := func(what string) error { return fmt.Errorf("%w (%s)", ErrDamaged, what) }
	if h.Kind != Events {
		switch {
		case x.r.keys == nil:
			return fail("it has no site key")
		case !x.format || !x.headed:
			return fail("it has no format record or no head record")
		case x.policy != x.head.Policy:
			return fail("the policy records do not agree with their digest")
		case h.Kind == Full && x.counters != x.head.Counters:
			return fail("the counters do not agree with their digest")
		}
	}
	if h.Kind != Policy {
		switch {
		case x.seq != h.Head:
			return fail(fmt.Sprintf("its events end at %d, and the header says %d", x.seq, h.Head))
		case x.hash != h.HeadHash:
			return fail("its last event has another hash than the header says")
		case h.Kind == Full && x.head.PolicyAt != 0 && !x.stated:
			return fail(fmt.Sprintf("event %d does not carry the policy's digest", x.head.PolicyAt))
		}
	}
	return x.compareHead()
}

// compareHead compares the backup with a head that is not among its events.
func (x *examination) compareHead() error {
	h, w := &x.r.Header, x.want
	switch {
	case w == nil || x.met:
		return nil
	case w.Seq == x.cut.Seq:
		if w.Hash != x.cut.Hash {
			return headDiffers(w.Seq)
		}
		return nil
	case w.Seq == h.Head:
		if w.Hash != h.HeadHash {
			return headDiffers(w.Seq)
		}
		return nil
	case w.Seq > h.Head:
		return fmt.Errorf("%w: it ends at event %d, before that head: events %d to %d are not in it", ErrHead,
			h.Head, h.Head+1, w.Seq)
	}
	return fmt.Errorf("%w: event %d is not in it, so nothing shows whether it fits: "+
		"compare a backup that has it, or a head from %d on", ErrHead, w.Seq, max(h.From, x.cut.Seq, 1))
}
