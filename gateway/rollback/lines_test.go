package rollback

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

const site access.ID = "abcdefghjk"

var testKey = bytes.Repeat([]byte{7}, 32)

// pointAt is an event of a chain; another branch has other hashes.
func pointAt(epoch, seq uint64, branch byte) point {
	p := point{epoch: epoch, seq: seq}
	if seq > 0 {
		p.hash = keys.Hash{branch, byte(epoch), byte(seq >> 8), byte(seq)}
	}
	return p
}

// someLines are lines of each verb.
func someLines() []line {
	return []line{
		{verb: verbBegan, at: pointAt(1, 4, 0)},
		{verb: verbFound, at: pointAt(1, 5, 0), number: 1, what: audit.ReasonOlderCopy, from: 6, to: 9,
			vague: atMost, counts: Counts{KeyRevoked: 1, CardLost: 2}},
		{verb: verbTold, number: 1, event: 7},
		{verb: verbFound, at: pointAt(1, 5, 0), number: 2, what: audit.ReasonNodeAhead, from: 60, device: lockID},
		{verb: verbSeen, number: 2},
		{verb: verbFold, at: pointAt(1, 8, 0), from: 6, counts: Counts{CardLost: 3}},
		{verb: verbTook, at: pointAt(1, 9, 0), counts: Counts{Lockdown: 1, Unjudged: 1}},
		{verb: verbHead, at: pointAt(1, 12, 0)},
		{verb: verbTook, at: pointAt(1, 15, 0), counts: Counts{PersonSuspended: 1}},
		{verb: verbHead, at: pointAt(2, 20, 0)},
	}
}

func encodeFile(lines []line) (text []byte, ends []int) {
	c := codes{key: testKey}
	text = c.encode(nil, prefix+string(site))
	ends = append(ends, len(text))
	for _, l := range lines {
		text = c.encode(text, l.String())
		ends = append(ends, len(text))
	}
	return text, ends
}

// stateOf is what the first n lines say.
func stateOf(lines []line, n int) (st state) {
	for _, l := range lines[:n] {
		st.apply(l)
	}
	return st
}

func TestEachLineIsReadAsItWasWritten(t *testing.T) {
	for _, l := range someLines() {
		got, ok := parseLine(l.String())
		if !ok || got != l {
			t.Errorf("%v: got %+v, %v, want %+v", l, got, ok, l)
		}
	}
	for _, bad := range []string{"", "head", "head 1 2", "head 1 2 00", "tell 1 2", "told 1", "told 1 2 3",
		"told 01 2",
		"took 1 2 " + zeros + " key-revoked=0", "took 1 2 " + zeros + " unknown=1",
		"took 1 2 " + zeros + " card-lost=1 key-revoked=1", "took 1 2 " + zeros + " key-revoked=4294967296",
		"found 1 2 " + zeros + " 1 nothing 1 2 - 0", "found 1 2 " + zeros + " 1 older-copy 1 2 - 4",
		"found 1 2 " + zeros + " 1 older-copy 1 2 UPPER 0"} {
		if l, ok := parseLine(bad); ok {
			t.Errorf("%q was read as %+v", bad, l)
		}
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// A power cut leaves the file as it was at some byte, or with zeros from there on.
func TestAFileCutAtAnyByteSaysWhatItsWholeLinesSay(t *testing.T) {
	lines := someLines()
	text, ends := encodeFile(lines)
	for n := range len(text) + 1 {
		whole := 0
		for _, end := range ends {
			if end <= n {
				whole++
			}
		}
		want := stateOf(lines, max(whole-1, 0))
		torn := [][]byte{text[:n]}
		if n > 0 && text[n-1] != '\n' { // the whole file has its length, and the last block is not written
			torn = append(torn, append(slices.Clip(text[:n]), 0, 0, 0), append(slices.Clip(text[:n]), 0, 0, '\n'))
		}
		for _, b := range torn {
			got, err := parse(b, site, testKey)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("cut at %d: got %+v, %v, want %+v", n, got, err, want)
			}
		}
	}
}

func TestAFlippedByteIsNoticed(t *testing.T) {
	lines := someLines()
	text, ends := encodeFile(lines)
	for i := range text {
		for _, flip := range []byte{1, 0x20, 0x80} {
			b := slices.Clone(text)
			b[i] ^= flip
			got, err := parse(b, site, testKey)
			last := i >= ends[len(ends)-2]
			if err == nil && last && (i == len(text)-1 || b[i] == 0) { // as after a power cut
				continue
			}
			if !errors.Is(err, errDamaged) && !errors.Is(err, errOtherSite) {
				t.Fatalf("byte %d ^ %#x: got %v", i, flip, err)
			}
			whole := 0
			for _, end := range ends {
				if end <= i {
					whole++
				}
			}
			if want := stateOf(lines, max(whole-1, 0)); !reflect.DeepEqual(got, want) {
				t.Fatalf("byte %d ^ %#x: got %+v, want %+v", i, flip, got, want)
			}
		}
	}
}

func TestALineThatIsGoneTwiceOrElsewhereIsNoticed(t *testing.T) {
	lines := someLines()
	text, ends := encodeFile(lines)
	for i := range len(ends) - 2 {
		begin, end := ends[i], ends[i+1]
		gone := slices.Concat(text[:begin], text[end:])
		twice := slices.Concat(text[:end], text[begin:])
		swapped := slices.Concat(text[:begin], text[end:ends[i+2]], text[begin:end], text[ends[i+2]:])
		for name, b := range map[string][]byte{"gone": gone, "twice": twice, "swapped": swapped} {
			if _, err := parse(b, site, testKey); !errors.Is(err, errDamaged) {
				t.Errorf("line %d %s: got %v", i+1, name, err)
			}
		}
	}
	if _, err := parse(text, "zzzzzzzzzz", testKey); !errors.Is(err, errOtherSite) {
		t.Errorf("another site: got %v", err)
	}
	if _, err := parse(text, site, bytes.Repeat([]byte{8}, 32)); !errors.Is(err, errDamaged) {
		t.Errorf("another key: got %v", err)
	}
}

// What the file says after it was made shorter is what it said before.
func TestTheShortFormSaysTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		st := state{}
		st.apply(line{verb: verbBegan, at: pointAt(1, 0, 0)})
		seq := uint64(0)
		for range r.IntN(2000) {
			seq += 1 + r.Uint64N(3)
			l := line{verb: verbHead, at: pointAt(1, seq, 0)}
			if r.IntN(3) > 0 {
				l.verb = verbTook
				l.counts[r.IntN(int(kindCount))]++
			}
			st.apply(l)
			st.fold()
		}
		text, _ := encodeFile(st.list())
		got, err := parse(text, site, testKey)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > shortenAt {
			t.Fatalf("%d bytes, more than %d", len(text), shortenAt)
		}
		want := st
		want.heads, want.lines, got.heads, got.lines = nil, 0, nil, 0
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

// Whatever was changed, and to whichever event the store goes back: what is named is what was taken
// away since. Only what was folded together may be too much, and then it says so.
func TestARollbackNamesWhatWasTakenAwaySince(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 120 {
		st := state{}
		began := r.Uint64N(20)
		st.apply(line{verb: verbBegan, at: pointAt(1, began, 0)})
		taken := map[uint64]Counts{}
		last := began
		for range r.IntN(3000) {
			last += 1 + r.Uint64N(4)
			l := line{verb: verbHead, at: pointAt(1, last, 0)}
			if r.IntN(2) == 0 {
				l.verb = verbTook
				l.counts[r.IntN(int(kindCount))] = 1 + r.Uint32N(3)
				taken[last] = l.counts
			}
			st.apply(l)
			st.fold()
		}
		if last == began {
			continue
		}
		back := r.Uint64N(last)
		branched := uint64(0) // events that the copy has made since
		if r.IntN(2) == 0 {
			branched = r.Uint64N(last - back + 5)
		}
		head := pointAt(1, back, 0)
		if branched > 0 {
			head = pointAt(1, back+branched, 1)
		}
		holds := func(p point) bool { return p == head || p.seq <= back && p == pointAt(1, p.seq, 0) || p.seq == 0 }
		f, wrong, known := st.compare(head, holds)
		if !wrong {
			t.Fatalf("round %d: back to %d of %d, and nothing is wrong", round, back, last)
		}
		var want Counts
		for seq, c := range taken {
			if seq > back {
				want.add(c)
			}
		}
		for k := range want {
			if f.counts[k] != want[k] && (f.vague&atMost == 0 || f.counts[k] < want[k]) {
				t.Fatalf("round %d: back to %d of %d: %s: got %d, want %d (%v)", round, back, last, names[k].code,
					f.counts[k], want[k], f.vague)
			}
		}
		if known > back+branched || branched == 0 && known != back {
			t.Fatalf("round %d: back to %d and %d more: known up to %d", round, back, branched, known)
		}
		if f.to != last || branched == 0 && f.from != back+1 || f.from > back+branched+1 {
			t.Fatalf("round %d: back to %d of %d and %d more: got %d–%d", round, back, last, branched, f.from, f.to)
		}
		if back < began && f.vague&atLeast == 0 {
			t.Fatalf("round %d: back to %d, head.log began at %d: got %v", round, back, began, f.vague)
		}
		for _, e := range st.entries {
			if e.at.seq > back {
				t.Fatalf("round %d: back to %d, and event %d is still there", round, back, e.at.seq)
			}
		}
	}
}

// The newest restrictions are never folded.
func TestTheNewestRestrictionsAreExact(t *testing.T) {
	st := state{}
	st.apply(line{verb: verbBegan, at: pointAt(1, 0, 0)})
	total := 0
	for seq := range uint64(50_000) {
		st.apply(line{verb: verbTook, at: pointAt(1, seq+1, 0), counts: Counts{CardLost: 1}})
		st.fold()
		total++
	}
	sum := 0
	for i, e := range st.entries {
		sum += int(e.counts[CardLost])
		if i >= len(st.entries)-maxEntries/2+1 && e.from != e.at.seq {
			t.Fatalf("entry %d of %d is folded", i, len(st.entries))
		}
	}
	if sum != total || len(st.entries) > maxEntries {
		t.Fatalf("%d restrictions in %d entries: want %d in at most %d", sum, len(st.entries), total, maxEntries)
	}
}

// After a restore the store has a newer epoch: nothing is wrong, and what it does not have is
// forgotten. An older epoch is an older copy.
func TestEpochs(t *testing.T) {
	build := func() state {
		st := stateOf([]line{{verb: verbBegan, at: pointAt(1, 0, 0)},
			{verb: verbTook, at: pointAt(1, 10, 0), counts: Counts{CardLost: 1}},
			{verb: verbTook, at: pointAt(1, 20, 0), counts: Counts{KeyRevoked: 1}}}, 3)
		return st
	}
	st := build()
	head := pointAt(2, 16, 1)
	holds := func(p point) bool { return p == head || p.seq <= 15 && p == pointAt(1, p.seq, 0) }
	f, wrong, known := st.compare(head, holds)
	if wrong || len(st.entries) != 1 || st.top != head || known != 10 {
		t.Errorf("a restore: got %+v, %v, %+v", f, wrong, st)
	}
	st = build()
	st.apply(line{verb: verbTook, at: pointAt(2, 18, 1), counts: Counts{PINRemoved: 1}})
	old := pointAt(1, 22, 0) // the store from before the restore
	holds = func(p point) bool { return p.epoch == 1 && p == pointAt(1, p.seq, 0) && p.seq <= 22 }
	f, wrong, _ = st.compare(old, holds)
	if !wrong || f.what != audit.ReasonOtherChain || f.counts != (Counts{PINRemoved: 1}) {
		t.Errorf("a copy from before a restore: got %+v, %v", f, wrong)
	}
}

func FuzzParse(f *testing.F) {
	text, ends := encodeFile(someLines())
	f.Add(text)
	for _, end := range ends {
		f.Add(text[:end])
		f.Add(text[:end-1])
	}
	for _, l := range someLines() { // the codes of these are made below
		f.Add([]byte(l.String()))
	}
	f.Add([]byte("latchkey-head-log-1 other00000 x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := parse(b, site, testKey); err == nil {
			again, _ := encodeFile(st.list())
			if got, err := parse(again, site, testKey); err != nil || got.top != st.top && st.lines > 0 {
				t.Fatalf("got %+v, %v, want %+v", got, err, st)
			}
		}
		// The same as lines whose codes are right: whoever has the key may write what they want.
		c := codes{key: testKey}
		signed := c.encode(nil, prefix+string(site))
		for text := range bytes.SplitSeq(b, []byte{'\n'}) {
			if l, ok := parseLine(string(text)); ok {
				if l.String() != string(text) {
					t.Fatalf("%q is written as %q", text, l)
				}
			}
			signed = c.encode(signed, string(text))
		}
		st, _ := parse(signed, site, testKey)
		head := pointAt(1, 9, 0)
		for _, holds := range []bool{false, true} {
			next := st.clone()
			f, _, _ := next.compare(head, func(p point) bool { return holds && p.seq <= head.seq })
			f.text(access.New())
			next.fold()
		}
	})
}

func TestAPowerCutDoesNotHideARevocation(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.revoke()
	h.watch.flush()
	h.lose()
	h.watch.flush()
	h.close()
	text, err := os.ReadFile(h.place.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 20, 100} {
		if err := os.WriteFile(h.place.File, text[:len(text)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		h.open() // the line of the lost card is torn: it is a change of which head.log knows no more
		h.want()
		entries := h.watch.state.entries
		if n := len(entries); n < 2 || entries[n-2].counts[KeyRevoked] != 1 || entries[n-1].counts[Unjudged] != 1 {
			t.Fatalf("cut by %d: got %+v", cut, entries)
		}
		h.close()
	}
}
