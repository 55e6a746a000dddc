package record

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

func namedOf(n audit.Named) namedRecord { return namedRecord{ID: string(n.ID), Name: n.Name} }

// byReflection encodes an event as the reader of a page expects it, by its struct tags.
func byReflection(t *testing.T, ev *Event) []byte {
	t.Helper()
	rec := eventRecord{At: ev.At.UnixNano(), Kind: string(ev.Kind), Device: namedOf(ev.Device),
		Target: namedOf(ev.Target), Person: namedOf(ev.Person), Card: ev.Card, Actor: ev.Actor,
		Source: string(ev.Source), Action: uint8(ev.Action), Level: ev.Level, Counter: ev.Counter,
		Granted: ev.Granted, Reason: string(ev.Reason), Rule: ev.Rule, Cause: ev.Cause,
		Outcome: string(ev.Outcome), Detail: ev.Detail, ClockUntrusted: ev.ClockUntrusted,
		Waited: int64(ev.Waited)}
	if ev.Digest != (keys.Hash{}) {
		rec.Digest = ev.Digest[:]
	}
	if ev.Attempt != [32]byte{} {
		rec.Attempt = ev.Attempt[:]
	}
	var b bytes.Buffer
	if err := encMode.MarshalToBuffer(&rec, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func headByReflection(t *testing.T, h *Head) []byte {
	t.Helper()
	p, c := h.Policy.Sum.Bytes(), h.Counters.Sum.Bytes()
	b, err := Encode(headVersion, headRecord{h.Seq, h.Hash[:], MakeStamp(h.Latest), p[:], h.Policy.Count,
		h.PolicyAt, c[:], h.Counters.Count, h.CountersAt, h.Cut})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzEncodeEvent compares the bytes of an event with those of the CBOR library, and with what is
// read back.
func FuzzEncodeEvent(f *testing.F) {
	f.Add(int64(0), "", "", "", "", uint8(0), uint8(0), uint64(0), uint64(0), uint16(0), []byte(nil), int64(0))
	f.Add(int64(-1), "decision", "0123456789", "reader-1", "granted", uint8(1), uint8(0), uint64(23), uint64(24),
		uint16(0xffff), []byte{1}, int64(-1))
	f.Add(int64(math.MinInt64), strings.Repeat("k", 23), strings.Repeat("i", 24), strings.Repeat("n", 255),
		strings.Repeat("t", 256), uint8(24), uint8(255), uint64(math.MaxUint32), uint64(1<<32), uint16(0x5555),
		bytes.Repeat([]byte{7}, 32), int64(math.MaxInt64))
	f.Add(int64(1<<16), "receipt", "", "é", strings.Repeat("d", 1<<16), uint8(23), uint8(100), uint64(1<<16-1),
		uint64(math.MaxUint64), uint16(0xaaaa), []byte("digest"), int64(1<<8))
	f.Fuzz(func(t *testing.T, at int64, kind, id, name, text string, action, level uint8, counter, cause uint64,
		which uint16, digest []byte, waited int64) {
		some := func(bit int, s string) string {
			if which>>bit&1 == 0 {
				return ""
			}
			return s
		}
		named := func(bit int) audit.Named {
			return audit.Named{ID: access.ID(some(bit, id)), Name: some(bit+1, name)}
		}
		ev := Event{Event: audit.Event{At: time.Unix(0, at), Kind: audit.EventKind(kind), Device: named(0),
			Target: named(2), Person: named(4), Card: some(6, text), Actor: some(7, name),
			Source: access.Source(some(8, kind)), Action: wire.Action(action), Level: level, Counter: counter,
			Granted: which>>9&1 == 1, Reason: access.Reason(some(10, kind)), Rule: some(11, id), Cause: cause,
			Outcome: audit.Outcome(some(12, text)), Detail: some(13, text),
			ClockUntrusted: which>>14&1 == 1}, Waited: time.Duration(waited)}
		copy(ev.Digest[:], digest)
		if which>>15 == 1 {
			copy(ev.Attempt[:], digest)
		}
		copy(ev.Prev[:], digest)
		ev.Clean()
		ev.Seq = 7
		var e Encoder
		e.Encode(&Event{Event: audit.Event{Kind: "longer than what follows", Detail: "left over"}})
		got := e.Encode(&ev)
		if want := byReflection(t, &ev); !bytes.Equal(got, want) {
			t.Fatalf("got  %x\nwant %x", got, want)
		}
		page, err := DecodePage(ev.Seq, append(BeginPage(nil, ev.Prev), got...))
		if err != nil {
			t.Fatal(err)
		}
		if len(page) != 1 || page[0] != ev {
			t.Errorf("read back %+v, want %+v", page, ev)
		}
	})
}

// FuzzEncodeHead does the same for the head.
func FuzzEncodeHead(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0), uint64(0), int64(0), int64(0), []byte(nil))
	f.Add(uint64(24), uint64(23), uint64(255), uint64(256), uint64(1<<16), int64(-62135596800), int64(0),
		[]byte{1})
	f.Add(uint64(math.MaxUint64), uint64(1<<32), uint64(math.MaxUint32), uint64(1<<16-1), uint64(7),
		int64(-1), int64(999_999_999), bytes.Repeat([]byte{9}, 96))
	f.Add(uint64(9), uint64(9), uint64(9), uint64(9), uint64(9), int64(1_780_000_000), int64(123),
		[]byte("hash"))
	f.Fuzz(func(t *testing.T, seq, at, below, policies, counters uint64, sec, nsec int64, sums []byte) {
		h := Head{Seq: seq, Latest: time.Unix(sec, nsec&(1<<29)).UTC(), PolicyAt: at,
			CountersAt: seq - min(seq, below), Policy: Tally{Count: policies}, Counters: Tally{Count: counters}}
		var all [96]byte
		copy(all[:], sums)
		h.Hash, h.Policy.Sum = keys.Hash(all[:32]), sumOf([32]byte(all[32:64]))
		h.Counters.Sum = sumOf([32]byte(all[64:]))
		got := h.AppendTo(nil)
		if want := headByReflection(t, &h); !bytes.Equal(got, want) {
			t.Fatalf("got  %x\nwant %x", got, want)
		}
		back, err := DecodeHead(got)
		if err != nil || back != h {
			t.Errorf("read back %+v, %v, want %+v", back, err, h)
		}
	})
}
