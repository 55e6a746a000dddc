package message

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What FuzzExchange does, in steps of an op, a size and so many bytes.
const (
	stepReceive byte = iota // a message
	stepAnswer              // a message whose ID and token become those of our last message
	stepSend                // a request of ours
	stepPing
	stepWait // so many seconds, and then retransmit
	stepKeep // the answer to the request that was passed on last
	stepRefuse
	stepForget // our last message
	stepSweep
	stepClear
	steps
)

func addStep(b []byte, op byte, data ...byte) []byte {
	return append(append(b, op, byte(len(data))), data...)
}

// readTraces calls f with each message of the traces in testdata.
func readTraces(t testing.TB, f func(fromClient bool, m []byte)) {
	t.Helper()
	files, err := filepath.Glob("testdata/traces/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v, want traces", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			from, text, _ := strings.Cut(strings.TrimSpace(line), " ")
			if from == "#" {
				continue
			}
			m, err := hex.DecodeString(text)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			f(from == ">", m)
		}
	}
}

// makeScripts returns what libcoap's client and server sent, as steps: each alone, and all that one
// of them sent in one association, answered and not, once and repeated.
func makeScripts(t testing.TB) (out [][]byte) {
	var served, silent, asked []byte
	readTraces(t, func(fromClient bool, m []byte) {
		if len(m) > 255 {
			m = m[:255] // what is cut off is payload
		}
		out = append(out, addStep(nil, stepReceive, m...))
		if fromClient {
			served = addStep(addStep(addStep(served, stepReceive, m...), stepKeep), stepReceive, m...)
			silent = addStep(addStep(silent, stepReceive, m...), stepReceive, m...)
		} else {
			asked = addStep(addStep(addStep(asked, stepSend), stepAnswer, m...), stepAnswer, m...)
		}
	})
	lost := addStep(addStep(nil, stepSend), stepPing)
	for range MaxRetransmit + 1 {
		lost = addStep(lost, stepWait, 100)
	}
	return append(out, served, addStep(served, stepWait, 255, 1), addStep(served, stepSweep), silent,
		addStep(silent, stepRefuse), asked, lost, addStep(lost, stepAnswer, 0x60, 0, 0, 0),
		addStep(addStep(nil, stepPing), stepAnswer, 0x70, 0, 0, 0),
		addStep(addStep(nil, stepSend), stepAnswer, 0x60, 0, 0, 0),
		addStep(addStep(addStep(nil, stepSend), stepForget), stepSweep),
		addStep(addStep(addStep(nil, stepPing), stepForget), stepClear))
}

// Whatever the other side sends and in whatever order, each request is passed on once, few are being
// handled at once, an answered one gets the same answer again, and what we send is repeated MaxRetransmit
// times at most.
func FuzzExchange(f *testing.F) {
	for _, script := range makeScripts(f) {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		x := NewExchange()
		now := began
		type request struct {
			b  []byte
			at time.Time
		}
		var passed []request        // that are being handled
		ours := map[uint16][]byte{} // what we sent and still wait for
		sent := map[string]int{}    // how often each message of ours was sent
		var last []byte             // the last message of ours
		for len(script) >= 2 {
			op, n := script[0]%steps, min(int(script[1]), len(script)-2)
			data := bytes.Clone(script[2 : 2+n])
			script = script[2+n:]
			switch op {
			case stepAnswer:
				if len(data) < 4 || last == nil {
					continue
				}
				copy(data[2:4], last[2:4])
				if tkl := int(last[0] & 15); tkl > 0 && data[1] != 0 && len(data) >= 4+int(data[0]&15) {
					rest := data[4+min(int(data[0]&15), MaxToken):]
					data = append(append([]byte{data[0]&0xf0 | last[0]&15, data[1], data[2], data[3]},
						last[4:4+tkl]...), rest...)
				}
				fallthrough
			case stepReceive:
				before := bytes.Clone(data)
				got := x.Receive(data, now)
				if !bytes.Equal(data, before) {
					t.Fatalf("%x was changed to %x", before, data)
				}
				v, _ := Check(got.Reply)
				if got.Reply != nil && (v != Pass || !bytes.Equal(got.Reply[2:4], data[2:4])) {
					t.Fatalf("%x is answered with %x", data, got.Reply)
				}
				switch got.Kind {
				case Nothing:
				case Request:
					if v, _ := Check(data); v != Pass || data[1] == 0 || data[1]>>5 != 0 {
						t.Fatalf("%x is passed on", data)
					}
					if passed = append(passed, request{data, now}); len(passed) > MaxInFlight {
						t.Fatalf("got %d requests at once, want %d at most", len(passed), MaxInFlight)
					}
					if again := x.Receive(data, now); again.Kind != Nothing || again.Reply != nil {
						t.Fatalf("repeated while it is handled: %x: got %+v", data, again)
					}
				default:
					if ours[got.ID] == nil {
						t.Fatalf("%x: got %+v, want nothing: we have sent no such message", data, got)
					}
					if got.Kind != Acknowledged {
						delete(ours, got.ID)
					}
				}
			case stepSend:
				id := x.NextID()
				last = append([]byte{0x44, 1, byte(id >> 8), byte(id)}, x.NextToken()...)
				x.Send(last, 1, now)
				ours[id] = last
				sent[string(last)] = 1
			case stepPing:
				b, id := x.Ping(1, 0, now)
				last, ours[id], sent[string(b)] = b, b, 1
			case stepWait:
				for _, s := range data {
					now = now.Add(time.Duration(s) * time.Second)
				}
				for _, b := range x.Retransmit(now) {
					sent[string(b)]++
					if sent[string(b)] > 1+MaxRetransmit || ours[binary.BigEndian.Uint16(b[2:])] == nil {
						t.Fatalf("%x was sent %d times", b, sent[string(b)])
					}
				}
				if due := x.Due(); !due.IsZero() && !due.After(now) {
					t.Fatalf("got a message that is still due at %v", due)
				}
			case stepKeep, stepRefuse:
				if len(passed) == 0 {
					continue
				}
				r, at := passed[len(passed)-1].b, passed[len(passed)-1].at
				passed = passed[:len(passed)-1]
				if op == stepRefuse {
					x.Refuse(r)
					continue
				}
				typ := byte(NON)
				if r[0]>>4&3 == CON {
					typ = ACK
				}
				answer := append([]byte{0x40 | typ<<4 | r[0]&15, 0x45}, r[2:4+int(r[0]&15)]...)
				x.Keep(answer)
				if now.Sub(at) > ExchangeLife {
					continue // it is not repeated any more
				}
				if typ == NON {
					answer = nil // it is not sent again
				}
				got := x.Receive(r, now)
				if got.Kind != Nothing || !bytes.Equal(got.Reply, answer) {
					t.Fatalf("%x, answered with %x, is repeated: got %+v", r, answer, got)
				}
			case stepForget:
				if last != nil {
					x.ForgetPing(binary.BigEndian.Uint16(last[2:]))
					x.Forget(binary.BigEndian.Uint16(last[2:]))
					delete(ours, binary.BigEndian.Uint16(last[2:]))
				}
			case stepSweep:
				x.Sweep(now)
			case stepClear:
				x.Clear()
				clear(ours)
			}
		}
		if got := x.in.Count(); got > KeepAnswered+MaxInFlight {
			t.Errorf("got %d requests remembered", got)
		}
	})
}
