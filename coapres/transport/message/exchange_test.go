package message

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// layer is an exchange with a clock of its own, and what it has sent.
type layer struct {
	Exchange
	now  time.Time
	sent [][]byte
}

func newLayer() *layer { return &layer{Exchange: NewExchange(), now: time.Now()} }

// passesRequest gives m to the exchange and tells whether it is for CoAP.
func (l *layer) passesRequest(m []byte) bool {
	r := l.Receive(m, l.now)
	if r.Reply != nil {
		l.sent = append(l.sent, r.Reply)
	}
	return r.Kind == Request || r.Kind == Response
}

// takeSent returns the next message that the exchange has sent, or nil if there is none.
func (l *layer) takeSent() (m []byte) {
	if len(l.sent) > 0 {
		m, l.sent = l.sent[0], l.sent[1:]
	}
	return m
}

// sleep lets time pass. The exchange retransmits meanwhile.
func (l *layer) sleep(d time.Duration) {
	end := l.now.Add(d)
	for due := l.Due(); !due.IsZero() && !due.After(end); due = l.Due() {
		l.now = due
		l.sent = append(l.sent, l.Retransmit(due)...)
	}
	l.now = end
}

// encode makes a message of ours or of the other side.
func encode(typ, code byte, id uint16, token []byte, path, body string) []byte {
	m := append([]byte{0x40 | typ<<4 | byte(len(token)), code, byte(id >> 8), byte(id)}, token...)
	if path != "" {
		m = append(append(m, 0xb0|byte(len(path))), path...) // Uri-Path (11)
	}
	if body != "" {
		m = append(append(m, 0xff), body...)
	}
	return m
}

// Codes (RFC 7252 §12.1).
const (
	get     = 0x01
	post    = 0x02
	changed = 0x44
	content = 0x45
)

func makeCON(id uint16, token, body string) []byte {
	return encode(CON, post, id, []byte(token), "scan", body)
}

func makeNON(id uint16, token, body string) []byte {
	return encode(NON, post, id, []byte(token), "scan", body)
}

func makeACK(id uint16, token, body string) []byte {
	return encode(ACK, changed, id, []byte(token), "", body)
}

func TestRepeatsOfARequest(t *testing.T) {
	l := newLayer()
	first := makeCON(7, "a", "one")
	if !l.passesRequest(first) {
		t.Fatal("a request was not passed on")
	}
	if l.passesRequest(first) || l.takeSent() != nil {
		t.Error("the repetition of a request in flight was passed on or answered, want it dropped")
	}
	if l.passesRequest(makeCON(7, "a", "two")) || l.takeSent() != nil {
		t.Error("a request with the ID and token of one in flight was passed on or answered, want it dropped")
	}
	if !l.passesRequest(makeCON(7, "b", "one")) {
		t.Error("a request with the same ID and another token was dropped, want it passed on")
	}
	one := makeACK(7, "a", "answer one")
	l.Keep(one)
	for range 3 {
		if l.passesRequest(first) {
			t.Error("a repetition was passed on")
		}
		if got := l.takeSent(); !bytes.Equal(got, one) {
			t.Errorf("a repetition got %x, want the same bytes %x", got, one)
		}
	}
	if !l.passesRequest(makeCON(7, "a", "two")) {
		t.Error("a request with the same ID and token but other bytes was dropped, want it passed on")
	}
	two := makeACK(7, "b", "answer two")
	l.Keep(two)
	if l.passesRequest(makeCON(7, "b", "one")) || !bytes.Equal(l.takeSent(), two) {
		t.Error("the repetition of the second request did not get the second answer")
	}
}

func TestAnswersFindTheirRequests(t *testing.T) {
	l := newLayer()
	l.passesRequest(makeNON(1, "x", ""))
	l.passesRequest(makeCON(2, "x", ""))
	l.Keep(encode(NON, changed, 900, []byte("x"), "", "for the first"))
	l.Keep(makeACK(2, "x", "for the second"))
	if l.passesRequest(makeCON(2, "x", "")); !bytes.Equal(l.takeSent(),
		makeACK(2, "x", "for the second")) {
		t.Error("a repetition got the answer to a non-confirmable request with the same token")
	}
	if l.passesRequest(makeNON(1, "x", "")) || l.takeSent() != nil {
		t.Error("the repetition of a non-confirmable request was passed on or answered, want it dropped")
	}
	l.passesRequest(makeCON(3, "", ""))
	l.Keep([]byte{0x60, 0, 0, 3}) // an empty ACK, for a response of the peer's own
	if l.passesRequest(makeCON(3, "", "")) || l.takeSent() != nil {
		t.Error("an empty ACK was taken for the answer to a request")
	}
}

func TestRepeatAfterTheExchangeLifetimeIsNew(t *testing.T) {
	l := newLayer()
	m := makeCON(7, "a", "")
	l.passesRequest(m)
	l.Keep(makeACK(7, "a", ""))
	l.sleep(ExchangeLife)
	if l.passesRequest(m) || l.takeSent() == nil {
		t.Error("after 247 s a repetition was passed on or not answered, want the stored answer")
	}
	l.sleep(time.Millisecond)
	if !l.passesRequest(m) {
		t.Error("after more than 247 s the same message was dropped, want it passed on as a new request")
	}
}

func TestInFlight(t *testing.T) {
	l := newLayer()
	for mid := range uint16(MaxInFlight) {
		if !l.passesRequest(makeCON(mid, "t", "")) {
			t.Fatalf("request %d of %d was dropped", mid+1, MaxInFlight)
		}
	}
	for i := range uint16(10_000) {
		if l.passesRequest(makeCON(100+i, "t", "")) || l.takeSent() != nil {
			t.Fatal("a request above the limit was passed on or answered, want it dropped")
		}
	}
	if got := l.in.Count(); got != MaxInFlight {
		t.Errorf("got %d requests remembered, want those in flight", got)
	}
	if !l.passesRequest(answerTo(l.request())) {
		t.Error("an answer to our request was not passed on while requests are in flight")
	}
	l.Keep(makeACK(3, "t", ""))
	if !l.passesRequest(makeCON(100, "t", "")) {
		t.Error("after one answer the next request was not passed on")
	}
}

// A long session uses each message ID many times.
func TestNoStaleAnswers(t *testing.T) {
	x, at := NewExchange(), time.Now()
	for i := range uint32(200_000) {
		token := binary.BigEndian.AppendUint32(nil, i)
		m := append([]byte{0x44, 2, byte(i >> 8), byte(i)}, token...)
		if r := x.Receive(m, at); r.Kind != Request {
			t.Fatalf("request %d: got %+v, want it to pass", i, r)
		}
		a := append([]byte{0x64, 0x44, byte(i >> 8), byte(i)}, token...)
		x.Keep(a)
		if r := x.Receive(m, at); r.Kind != Nothing || !bytes.Equal(r.Reply, a) {
			t.Fatalf("repetition of request %d: got %+v, want its own answer %x", i, r, a)
		}
		at = at.Add(time.Millisecond)
	}
	if x.in.Count() > KeepAnswered {
		t.Errorf("got %d requests remembered, want at most %d", x.in.Count(), KeepAnswered)
	}
}

// request sends a request and returns its bytes.
func (l *layer) request() []byte {
	m := encode(CON, get, l.NextID(), l.NextToken(), "act", "")
	l.Send(m, 0, l.now)
	return m
}

// answerTo returns the piggybacked 2.05 response to a request.
func answerTo(req []byte) []byte { return append([]byte{0x64, 0x45}, req[2:8]...) }

// emptyTo returns an empty message of a type with the ID of m.
func emptyTo(typ byte, m []byte) []byte { return []byte{0x40 | typ<<4, 0, m[2], m[3]} }

// TestResponses sends a request, lets messages come, and compares what the exchange says of each.
func TestResponses(t *testing.T) {
	const ours, theirs = 0, 0xabcd
	type message func(req []byte) []byte
	separate := func(typ byte, id uint16) message {
		return func(req []byte) []byte {
			if id == ours {
				id = binary.BigEndian.Uint16(req[2:])
			}
			return encode(typ, content, id, req[4:8], "", "state")
		}
	}
	ack := func(req []byte) []byte { return emptyTo(ACK, req) }
	rst := func(req []byte) []byte { return emptyTo(RST, req) }
	piggybacked := func(req []byte) []byte { return answerTo(req) }
	otherwise := func(make message, at int) message {
		return func(req []byte) []byte {
			m := make(req)
			m[at]++
			return m
		}
	}
	theirACK, theirRST := []byte{0x60, 0, 0xab, 0xcd}, []byte{0x70, 0, 0xab, 0xcd}
	nothing, acked, proof := Received{}, Received{Kind: Acknowledged}, Received{Kind: Acknowledged, Proves: true}
	response, reset := Received{Kind: Response, Proves: true}, Received{Kind: Reset, Proves: true}
	for _, tc := range []struct {
		name string
		in   []message
		want []Received // their ID and Path are checked if there is a Kind
	}{
		{"in the ACK", []message{piggybacked, piggybacked}, []Received{response, nothing}},
		{"in the ACK, with another token", []message{otherwise(piggybacked, 7), piggybacked},
			[]Received{proof, {Kind: Response}}},
		{"in the ACK, with another ID", []message{otherwise(piggybacked, 3)}, []Received{nothing}},
		{"separate after the ACK", []message{ack, ack, separate(CON, theirs)},
			[]Received{proof, acked, {Kind: Response, Reply: theirACK}}},
		{"separate without an ACK", []message{separate(CON, theirs), ack},
			[]Received{{Kind: Response, Proves: true, Reply: theirACK}, nothing}},
		{"separate, twice", []message{separate(CON, theirs), separate(CON, theirs)},
			[]Received{{Kind: Response, Proves: true, Reply: theirACK}, {Reply: theirACK}}},
		{"separate and non-confirmable, twice",
			[]message{separate(NON, theirs), separate(NON, theirs)},
			[]Received{response, nothing}},
		{"separate with the ID of the request", []message{separate(NON, ours)},
			[]Received{response}},
		{"with a token that was never used",
			[]message{otherwise(separate(CON, theirs), 7), otherwise(separate(NON, theirs), 7)},
			[]Received{{Reply: theirRST}, nothing}},
		{"a Reset", []message{rst, piggybacked}, []Received{reset, nothing}},
		{"a Reset after the ACK", []message{ack, rst}, []Received{proof, {Kind: Reset}}},
		{"a Reset of another ID", []message{otherwise(rst, 3)}, []Received{nothing}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLayer()
			m := encode(CON, get, l.NextID(), l.NextToken(), "act", "")
			l.Send(m, 7, l.now)
			for i, in := range tc.in {
				got := l.Receive(in(m), l.now.Add(time.Millisecond))
				want := tc.want[i]
				if want.Kind != Nothing {
					want.ID, want.Path = binary.BigEndian.Uint16(m[2:]), 7
				}
				if got.Kind != want.Kind || got.ID != want.ID || got.Proves != want.Proves || got.Path != want.Path ||
					!bytes.Equal(got.Reply, want.Reply) {
					t.Errorf("message %d: got %+v, want %+v", i+1, got, want)
				}
			}
		})
	}
}

func TestPing(t *testing.T) {
	for _, typ := range []byte{ACK, RST} { // an ACK is wrong, but proves as much
		l := newLayer()
		b, id := l.Ping(3, 250*time.Millisecond, l.now)
		if len(b) != 4 || b[0] != 0x40 || b[1] != 0 || binary.BigEndian.Uint16(b[2:]) != id {
			t.Fatalf("got %x and ID %d, want an empty confirmable message with that ID", b, id)
		}
		l.sleep(300 * time.Millisecond)
		if got := l.takeSent(); !bytes.Equal(got, b) {
			t.Errorf("got %x, want the ping again", got)
		}
		if r := l.Receive(emptyTo(typ, b), l.now); r.Kind != Reset || r.ID != id || !r.Proves {
			t.Errorf("got %+v, want the answer to the ping", r)
		}
		if l.out != nil {
			t.Error("the ping is still stored")
		}
	}
}

// A ping that was answered long ago is forgotten once more. A request that has its ID by now stays.
func TestForgetPing(t *testing.T) {
	l := newLayer()
	b, id := l.Ping(0, time.Second, l.now)
	l.Receive(emptyTo(RST, b), l.now)
	l.id = id - 1
	req := l.request()
	if got := binary.BigEndian.Uint16(req[2:]); got != id {
		t.Fatalf("got ID %d, want %d", got, id)
	}
	l.ForgetPing(id)
	if l.find(id) == nil {
		t.Error("the request was forgotten")
	}
	l.Forget(id)
	if _, id = l.Ping(0, time.Second, l.now); l.find(id) == nil {
		t.Fatal("no ping")
	}
	if l.ForgetPing(id); l.find(id) != nil {
		t.Error("the ping was not forgotten")
	}
}

// A message ID that is still in use is passed over, and each token is new.
func TestIDsAndTokens(t *testing.T) {
	l := newLayer()
	first := binary.BigEndian.Uint16(l.request()[2:])
	seen := map[string]bool{}
	for range 70_000 {
		if id := l.NextID(); id == first {
			t.Fatalf("ID %d was given while it is in use", id)
		}
		token := string(l.NextToken())
		if seen[token] {
			t.Fatalf("token %x was given twice", token)
		}
		seen[token] = true
	}
}
