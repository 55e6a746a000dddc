package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

func TestEventsArriveInOrder(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.note(audit.EventReport, 400)
	r := c.sink("home")
	s.put(r)
	s.run()
	s.caughtUp()
	s.note(audit.EventStart, 3)
	st := s.caughtUp()
	checkComplete(t, c.all(), 1, s.head(), 0)
	if st.Taken != s.head() || st.Seq != s.head() || st.Dead != 0 || len(st.Failed) != 0 {
		t.Errorf("got %+v", st)
	}
	s.stop()
	if cursor, _, _ := s.store.SinkCursor(t.Context(), r.ID); cursor.Seq != s.head() || cursor.Epoch != 1 ||
		cursor.Hash == [32]byte{} {
		t.Errorf("got cursor %+v, want it stored at the end", cursor)
	}
	s.restart() // nothing again
	s.note(audit.EventStart, 1)
	s.caughtUp()
	checkComplete(t, c.all(), 1, s.head(), 0)
}

func TestWhereASinkBegins(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.note(audit.EventReport, 20)
	r := c.sink("home")
	r.From = 15
	s.put(r)
	s.run()
	s.caughtUp()
	checkComplete(t, c.all(), 15, s.head(), 0)
	r.From = 3 // somebody wants them again
	s.put(r)
	wait(t, func() string { return "events from 3 on" }, func() bool {
		return slices.ContainsFunc(c.all(), func(ev taken) bool { return ev.ID == "1.3" })
	})
	s.caughtUp()
	r.From = s.head() + 2 // the next one is that of this change
	s.put(r)
	s.note(audit.EventReport, 2)
	s.caughtUp()
	if last := c.all()[len(c.all())-1]; last.ID != s.id(s.head()) {
		t.Errorf("got %s as the last", last.ID)
	}
}

func TestOnlyWhatIsWanted(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	r := c.sink("home")
	r.Only, r.IDsOnly = []audit.EventKind{audit.EventStart}, true
	s.put(r)
	s.note(audit.EventReport, 300)
	s.run()
	s.caughtUp()
	wait(t, func() string { return "the cursor is stored behind events that are not sent" }, func() bool {
		cursor, _, _ := s.store.SinkCursor(t.Context(), r.ID)
		return cursor.Seq == s.head()
	})
	s.note(audit.EventStart, 2)
	s.note(audit.EventReport, 2)
	s.caughtUp()
	all := c.all()
	if len(all) != 2 || all[0].Type != "io.latchkey.start.v1" ||
		strings.Contains(all[0].body, "front-reader") {
		t.Errorf("got %v, want two starts without names", all)
	}
	if len(c.all()) > 0 && strings.Contains(all[0].body, "e580") {
		t.Error("digits of a card were sent")
	}
}

// A sink is added, changed, paused, resumed and removed while the engine runs.
func TestFollowsThePolicy(t *testing.T) {
	s, c, other := newSite(t), startReceiver(t), startReceiver(t)
	s.run()
	r := c.sink("home")
	s.put(r)
	s.caughtUp()

	r.Endpoint = other.sink("x").Endpoint
	s.put(r)
	s.note(audit.EventStart, 1)
	s.caughtUp()
	if last := other.all(); len(last) == 0 || last[len(last)-1].ID != s.id(s.head()) {
		t.Errorf("the new server got %v", last)
	}

	r.Paused = "the server is being repaired"
	s.put(r)
	s.status("paused", func(st Status) bool { return st.State == Paused })
	s.note(audit.EventStart, 10)
	st := s.status("behind", func(st Status) bool { return st.Lag >= 10 })
	if st.Why != r.Paused || st.State != Paused || st.Age <= 0 {
		t.Errorf("got %+v", st)
	}
	r.Paused = ""
	s.put(r)
	s.caughtUp()
	// A change ends what is under way, so that may come again.
	checkComplete(t, append(c.all(), other.all()...), 1, s.head(), 4*maxBatch)

	if _, err := s.store.Apply(t.Context(), "ada", access.Change{Delete: r}); err != nil {
		t.Fatal(err)
	}
	wait(t, func() string { return "no sink" }, func() bool {
		all, err := s.engine.Status(t.Context())
		return err == nil && len(all) == 0
	})
}

// What the server refuses for good becomes a dead letter, and what is behind it is sent.
func TestDeadLetters(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.note(audit.EventStart, 50)
	refuse := func(id string) {
		c.answers(func(_ *http.Request, events []taken) int {
			if slices.ContainsFunc(events, func(ev taken) bool { return ev.ID == id }) {
				return http.StatusUnprocessableEntity
			}
			return http.StatusOK
		})
	}
	refuse("1.17")
	r := c.sink("home")
	s.put(r)
	s.run()
	st := s.status("a dead letter", func(st Status) bool { return st.Dead == 1 && st.Lag == 0 })
	if st.Failed[Refused] != 1 || st.LastError != "HTTP 422 Unprocessable Entity" {
		t.Errorf("got %+v", st)
	}
	dead, err := s.store.DeadLetters(t.Context(), r.ID, 10)
	if err != nil || len(dead) != 1 || dead[0].Seq != 17 || dead[0].Tries < 1 || dead[0].At.IsZero() ||
		dead[0].Why != "HTTP 422 Unprocessable Entity" {
		t.Errorf("got %+v, %v", dead, err)
	}
	if got := len(c.all()); got != int(s.head())-1 {
		t.Errorf("got %d events, want all but one", got)
	}
	if err := s.engine.Retry(t.Context(), r.ID, 17); err == nil {
		t.Error("it is refused still, and Retry says nothing")
	}
	refuse("")
	if err := s.engine.Retry(t.Context(), r.ID, 17); err != nil {
		t.Errorf("sent again: %v", err)
	}
	if last := c.all(); last[len(last)-1].ID != "1.17" {
		t.Errorf("got %s, want 1.17", last[len(last)-1].ID)
	}
	s.status("no dead letter", func(st Status) bool { return st.Dead == 0 })
	for _, id := range []access.ID{r.ID, access.NewID()} {
		if err := s.engine.Retry(t.Context(), id, 17); !errors.Is(err, access.ErrNotFound) {
			t.Errorf("no such dead letter, or no such sink: got %v, want ErrNotFound", err)
		}
	}
}

// A server that refuses everything does not fill the store with dead letters.
func TestDeadLettersAreBounded(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	c.answers(func(*http.Request, []taken) int { return http.StatusBadRequest })
	s.note(audit.EventStart, maxDead+100)
	r := c.sink("home")
	s.put(r)
	s.run()
	st := s.status("paused", func(st Status) bool { return st.State == Paused })
	if st.Dead != maxDead || st.Seq != maxDead || !strings.Contains(st.Why, "1000 events") {
		t.Errorf("got %+v", st)
	}
}

// A dead letter that cannot be stored is not passed by.
func TestDeadLetterIsStoredFirst(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	c.answers(func(*http.Request, []taken) int { return http.StatusBadRequest })
	s.note(audit.EventStart, 3)
	r := c.sink("home")
	s.put(r)
	s.store.low.Store(true)
	s.run()
	s.status("it fails", func(st Status) bool { return st.State == Failing })
	s.stop()
	s.store.low.Store(false)
	if cursor, ok, _ := s.store.SinkCursor(t.Context(), r.ID); ok && cursor.Seq > 0 {
		t.Errorf("got cursor %+v, want none", cursor)
	}
	s.run()
	s.status("dead letters", func(st Status) bool { return st.Dead >= 3 })
}

// A sink whose rights are revoked is paused by one change of the policy. When somebody resumes it,
// nothing is lost.
func TestRevokedRights(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	r := c.sink("home")
	s.put(r)
	s.run()
	s.note(audit.EventStart, 20)
	s.caughtUp()
	c.answers(func(*http.Request, []taken) int { return http.StatusUnauthorized })
	s.note(audit.EventStart, 20)
	st := s.status("paused", func(st Status) bool { return st.State == Paused })
	if st.Why != "HTTP 401 Unauthorized" || s.get(r.ID).Paused != st.Why || st.Failed[Halted] != 1 {
		t.Errorf("got %+v and the record %q", st, s.get(r.ID).Paused)
	}
	s.note(audit.EventStart, 20)
	if n := len(s.events(audit.EventSink)); n != 0 {
		t.Errorf("got %d events about the sink beside that of the policy, want none", n)
	}
	c.answers(nil)
	s.put(r)
	s.caughtUp()
	checkComplete(t, c.all(), 1, s.head(), 0)

	// Paused and resumed before the engine has looked.
	c.answers(func(*http.Request, []taken) int { return http.StatusUnauthorized })
	s.note(audit.EventStart, 1)
	for range 5 {
		wait(t, func() string { return "paused" }, func() bool { return s.get(r.ID).Paused != "" })
		s.put(r)
	}
	c.answers(nil)
	wait(t, func() string { return "all sent" }, func() bool {
		if s.get(r.ID).Paused != "" {
			s.put(r)
		}
		all := c.all()
		return all[len(all)-1].ID == s.id(s.head())
	})
	checkComplete(t, c.all(), 1, s.head(), 4*maxBatch)
}

// A sink that cannot be paused fails, and tries again. When the gateway ends meanwhile, that is no
// failure of the sink.
func TestPauseThatIsNotWritten(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	c.answers(func(*http.Request, []taken) int { return http.StatusUnauthorized })
	asked := make(chan struct{}, 1)
	apply := s.apply
	s.apply = func(ctx context.Context, _ string, _ ...access.Change) (uint64, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	s.put(c.sink("home"))
	s.run()
	<-asked
	s.stop()
	if got := s.events(audit.EventSink); len(got) != 0 {
		t.Errorf("got %+v, want no event", got)
	}
	s.apply = func(context.Context, string, ...access.Change) (uint64, error) {
		return 0, errors.New("no space")
	}
	s.run()
	s.status("failing", func(st Status) bool { return st.State == Failing && st.Failed[Halted] > 2 })
	s.apply = apply
	s.run()
	s.status("paused", func(st Status) bool { return st.State == Paused })
	if got := s.events(audit.EventSink); len(got) != 1 {
		t.Errorf("got %+v, want one event", got)
	}
}

// A time of failure makes two events, at its beginning and at its end, however often it fails, and
// also when the gateway is restarted meanwhile.
func TestOneEventWhenItFails(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.times.quiet = time.Hour
	s.put(c.sink("home"))
	s.run()
	s.caughtUp()
	c.answers(func(*http.Request, []taken) int { return http.StatusBadGateway })
	s.note(audit.EventStart, 5)
	s.status("many failures", func(st Status) bool { return st.Failed[Temporary] >= 5 })
	st := s.status("failing", func(st Status) bool { return st.State == Failing })
	if st.Why != "HTTP 502 Bad Gateway" || st.NextTry.IsZero() || st.Since.IsZero() ||
		st.LastError != st.Why {
		t.Errorf("got %+v", st)
	}
	s.restart()
	s.status("many failures after a restart", func(st Status) bool { return st.Failed[Temporary] >= 5 })
	c.answers(nil)
	s.caughtUp()
	c.answers(func(*http.Request, []taken) int { return http.StatusBadGateway }) // soon again
	s.note(audit.EventStart, 5)
	s.status("more failures", func(st Status) bool { return st.State == Failing })
	c.answers(nil)
	s.caughtUp()
	if got := s.events(audit.EventSink); len(got) != 1 || got[0].Reason != audit.ReasonFailing ||
		got[0].Actor != "home" || got[0].Detail != "fails: HTTP 502 Bad Gateway" {
		t.Errorf("got %+v, want one event", got)
	}
	s.times.quiet = 20 * time.Millisecond
	s.restart()
	s.note(audit.EventStart, 1)
	s.status("recovered", func(st Status) bool { return st.Since.IsZero() })
	wait(t, func() string { return "the event of the recovery" }, func() bool {
		got := s.events(audit.EventSink)
		return len(got) == 2 && got[1].Reason == audit.ReasonRecovered
	})
	s.caughtUp()
	checkComplete(t, c.all(), 1, s.head(), 0)
}

// A server that refuses the events about sinks makes no new ones.
func TestEventsAboutSinksMakeNoEvents(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	c.answers(func(_ *http.Request, events []taken) int {
		if slices.ContainsFunc(events, func(ev taken) bool {
			return ev.Type == "io.latchkey.sink.v1" || ev.ID == "1.1"
		}) {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	s.times.quiet = 20 * time.Millisecond
	s.note(audit.EventStart, 1)
	s.put(c.sink("home"))
	s.run()
	s.note(audit.EventStart, 5)
	s.status("all are dead letters", func(st Status) bool { return st.Dead == 3 && st.Lag == 0 })
	s.note(audit.EventStart, 5)
	s.caughtUp()
	if got := s.events(audit.EventSink); len(got) != 2 {
		t.Errorf("got %d events, want the failure of the first event and the recovery: %+v", len(got), got)
	}
}

// A server that asks for time gets it.
func TestLater(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	c.answers(func(*http.Request, []taken) int { return http.StatusServiceUnavailable })
	c.Config.Handler = laterBy("700", c)
	s.put(c.sink("home"))
	s.run()
	st := s.status("failing", func(st Status) bool { return st.State == Failing })
	if in := time.Until(st.NextTry); in < 70*time.Second || in > 701*time.Second {
		t.Errorf("it tries again in %v, want 700 s", in)
	}
}

func laterBy(seconds string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", seconds)
		next.ServeHTTP(w, r)
	})
}

func TestTest(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.run()
	r := c.sink("home")
	if err := s.engine.Test(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if all := c.all(); len(all) != 1 || all[0].Type != "io.latchkey.test.v1" || all[0].Sequence != "" ||
		all[0].Source != "/latchkey/"+string(s.store.SiteID()) {
		t.Errorf("got %+v", c.all())
	}
	if s.head() != 0 {
		t.Error("a test made an event")
	}
	c.answers(func(*http.Request, []taken) int { return http.StatusForbidden })
	if err := s.engine.Test(t.Context(), r); err == nil || err.Error() != "sink: HTTP 403 Forbidden" {
		t.Errorf("got %v", err)
	}
	r.Endpoint.CA = ""
	if err := s.engine.Test(t.Context(), r); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a certificate that does not fit", err)
	}
	r.Endpoint.Private = false
	if err := s.engine.Test(t.Context(), r); err == nil || !strings.Contains(err.Error(), "--private") {
		t.Errorf("got %v, want an address that is refused", err)
	}
	r.Protocol = "mqtt"
	if err := s.engine.Test(t.Context(), r); err == nil || !strings.Contains(err.Error(), "speak mqtt") {
		t.Errorf("got %v, want a protocol that is missing", err)
	}
}

// One event of each kind that the store takes, with canaries in what must not leave: none of them is
// in any byte that the server gets.
func TestCanariesStay(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	var got bytes.Buffer
	c.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = r.Header.Write(&got)
		}
		if err != nil {
			t.Error(err)
		}
		got.Write(body)
	})
	s.note(audit.EventStart, 1) // for the receipt
	n := 0
	for _, kind := range audit.EventKinds {
		ev := audit.Event{Kind: kind, Card: "c4rd", Detail: "canary-detail", Actor: "canary-actor",
			Device: audit.Named{ID: "0a1b2c3d4e", Name: "canary-name"},
			Target: audit.Named{ID: "a1b2c3d4e5", Name: "canary-name"},
			Person: audit.Named{ID: "p1q2r3s4t5", Name: "canary-name"}}
		if kind == audit.EventReceipt {
			ev.Cause = 1
		}
		if kind == audit.EventDecision || kind == audit.EventPolicy || kind == audit.EventRestore {
			continue // the store makes these itself
		}
		if _, err := s.store.Record(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		n++
	}
	r := c.sink("home")
	r.IDsOnly = true
	s.put(r)
	s.run()
	s.caughtUp()
	s.stop()
	c.Close()
	if bytes.Count(got.Bytes(), []byte(`"specversion"`)) < n {
		t.Errorf("got %d bytes, want %d events", got.Len(), n)
	}
	for _, secret := range []string{"canary", "c4rd", r.Secrets[0].Reveal(), r.Secrets[0].Reveal()[6:]} {
		if bytes.Contains(got.Bytes(), []byte(secret)) {
			t.Errorf("%s is in what was sent", secret)
		}
	}
}

// A server that takes its events slowly, but takes them, does not fail.
func TestSlowServer(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.times.send = time.Second
	c.answers(func(r *http.Request, events []taken) int {
		if len(events) > 1 {
			return http.StatusUnsupportedMediaType
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.Context().Done():
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	s.note(audit.EventStart, maxBatch)
	s.put(c.sink("home"))
	s.run()
	if st := s.caughtUp(); len(st.Failed) != 0 || len(s.events(audit.EventSink)) != 0 {
		t.Errorf("got %+v", st)
	}
	checkComplete(t, c.all(), 1, s.head(), 20)
}

// After a restore the chain may be another one. Then all is sent again rather than some of it lost.
func TestAnotherChain(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.note(audit.EventStart, 10)
	r := c.sink("home")
	s.put(r)
	for name, cursor := range map[string]audit.SinkCursor{
		"the event is another":   {Epoch: 1, Seq: 5, Hash: [32]byte{1}},
		"there are fewer events": {Epoch: 1, Seq: 5000, Hash: [32]byte{1}},
	} {
		before := len(c.all())
		if err := s.store.MoveSinkCursor(t.Context(), r.ID, cursor); err != nil {
			t.Fatal(err)
		}
		s.run()
		s.status(name, func(st Status) bool { return st.Taken == s.head() && st.Lag == 0 })
		s.stop()
		checkComplete(t, c.all()[before:], 1, s.head(), 0)
	}
}

// A sink that has events left does not say that it waits for some.
func TestStatusBetweenBatches(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.note(audit.EventStart, 3000)
	s.put(c.sink("home"))
	s.run()
	s.status("caught up", func(st Status) bool {
		if st.State == Waiting && st.Lag > 0 {
			t.Errorf("got %+v, want it sending", st)
		}
		return st.State == Waiting && st.Lag == 0
	})
}
