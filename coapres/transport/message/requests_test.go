package message

import (
	"fmt"
	"testing"
	"time"
)

// A request is answered again for as long as its ID may not mean another one. After that nothing is
// left of it, but a request that is still being handled stays.
func TestAnswersAreForgotten(t *testing.T) {
	var q Requests
	at := time.Now()
	ask := func(typ byte, id uint16) []byte { return encode(typ, post, id, []byte(fmt.Sprint(id)), "scan", "x") }
	answer := func(id uint16) string {
		return string(encode(ACK, changed, id, []byte(fmt.Sprint(id)), "", "verdict"))
	}
	for id := range uint16(3) {
		if v, _ := q.Receive(ask(CON, id), at); v != Pass {
			t.Fatalf("request %d: got %v", id, v)
		}
	}
	if v, _ := q.Receive(ask(NON, 3), at); v != Pass {
		t.Fatal("non-confirmable: not passed")
	}
	q.Keep([]byte(answer(1)))
	q.Keep(encode(NON, changed, 99, []byte("3"), "", "verdict"))
	q.Keep([]byte(answer(0)))
	for _, tc := range []struct {
		after  time.Duration
		id     uint16
		typ    byte
		want   Verdict
		answer string
	}{
		{ExchangeLife, 0, CON, Answer, answer(0)},
		{ExchangeLife, 1, CON, Answer, answer(1)},
		{ExchangeLife, 2, CON, Drop, ""}, // being handled
		{ExchangeLife, 3, NON, Drop, ""},
		{ExchangeLife + 1, 0, CON, Pass, ""},
		{ExchangeLife + 1, 2, CON, Drop, ""},
		{ExchangeLife + 1, 3, NON, Pass, ""},
	} {
		if v, b := q.Receive(ask(tc.typ, tc.id), at.Add(tc.after)); v != tc.want || string(b) != tc.answer {
			t.Errorf("request %d again after %v: got %v %q, want %v %q", tc.id, tc.after, v, b, tc.want, tc.answer)
		}
	}
	q.Refuse(ask(CON, 2))
	q.Refuse(ask(NON, 3))
	q.Keep([]byte(answer(0)))
	end := at.Add(2*ExchangeLife + 1)
	if q.Forget(end); q.Count() != 1 {
		t.Errorf("got %d requests remembered, want the last", q.Count())
	}
	if q.Forget(end.Add(1)); q.waiting != nil || q.answered != nil {
		t.Errorf("got %d requests remembered and memory in use, want none", q.Count())
	}
}

// A request that was refused is passed when it is repeated.
func TestRefusedRequestIsNewAgain(t *testing.T) {
	var q Requests
	m := encode(CON, post, 7, []byte("t"), "scan", "x")
	for range 3 {
		if v, _ := q.Receive(m, time.Now()); v != Pass {
			t.Fatalf("got %v", v)
		}
		q.Refuse(m)
	}
	if q.Count() != 0 {
		t.Errorf("got %d requests remembered", q.Count())
	}
}
