package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/feed"
	"latchkey/gateway/store"
)

func openFeed(t *testing.T) (*feed.Feed, *store.Store) {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Verify(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
		_ = s.Close()
	})
	return feed.New(s, slog.New(slog.DiscardHandler)), s
}

func recordEvent(t *testing.T, f *feed.Feed) uint64 {
	t.Helper()
	ev, ok := f.Note(audit.Event{Kind: audit.EventReport})
	if !ok {
		t.Fatal("the event was not recorded")
	}
	return ev.Seq
}

// boundWait returns a context that ends after a minute, so that a test does not wait for ever.
func boundWait(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestCursorMissesNoEvent(t *testing.T) {
	f, _ := openFeed(t)
	const each, writers = 100, 4
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, ok := f.Note(audit.Event{Kind: audit.EventReport}); !ok {
					t.Error("the event was not recorded")
				}
			}
		})
	}
	ctx, cursor := boundWait(t), f.Events(1)
	for want := uint64(1); want <= each*writers; {
		news, err := cursor.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range news.Events {
			if ev.Seq != want {
				t.Fatalf("got event %d, want %d", ev.Seq, want)
			}
			want++
		}
	}
	wg.Wait()
}

func TestWhereACursorBegins(t *testing.T) {
	f, _ := openFeed(t)
	for range 600 { // more than a cursor reads at a time
		recordEvent(t, f)
	}
	for _, from := range []uint64{1, 300, 601, 0} {
		cursor, want := f.Events(from), from
		last := recordEvent(t, f)
		if from == 0 { // only events from now on
			want = last
		}
		for want <= last {
			news, err := cursor.Next(boundWait(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range news.Events {
				if ev.Seq != want {
					t.Fatalf("from %d: got event %d, want %d", from, ev.Seq, want)
				}
				want++
			}
		}
	}
}

func TestDevices(t *testing.T) {
	f, _ := openFeed(t)
	f.DeviceChanged("before0000")
	all, events := f.All(0), f.Events(0)
	for range 3 {
		f.DeviceChanged("front00000")
	}
	f.DeviceChanged("gone000000")
	f.DeviceChanged("hall000000")
	f.DeviceChanged("front00000")
	f.DeviceRemoved("gone000000")
	f.DeviceRemoved("never00000")
	news, err := all.Next(boundWait(t))
	slices.Sort(news.Devices)
	if err != nil || !slices.Equal(news.Devices, []access.ID{"front00000", "hall000000"}) ||
		len(news.Events) != 0 {
		t.Errorf("got %v, %v, want front and hall, each once", news, err)
	}
	seq := recordEvent(t, f)
	if news, err := all.Next(boundWait(t)); err != nil || len(news.Devices) != 0 || len(news.Events) != 1 ||
		news.Events[0].Seq != seq {
		t.Errorf("got %v, %v, want event %d alone", news, err, seq)
	}
	if news, err := events.Next(boundWait(t)); err != nil || len(news.Devices) != 0 || len(news.Events) != 1 {
		t.Errorf("a subscriber of events: got %v, %v, want the event alone", news, err)
	}
}

// A cursor that waits is woken by an event and by a change of a device.
func TestCursorIsWoken(t *testing.T) {
	f, _ := openFeed(t)
	cursor := f.All(0)
	for _, wake := range []func(){func() { recordEvent(t, f) }, func() { f.DeviceChanged("front00000") }} {
		got := make(chan error, 1)
		go func() {
			_, err := cursor.Next(boundWait(t))
			got <- err
		}()
		wake()
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
}

func TestCursorEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(s *store.Store, cancel func())
		want error
	}{
		"with its context": {func(_ *store.Store, cancel func()) { cancel() }, context.Canceled},
		"with the store":   {func(s *store.Store, _ func()) { _ = s.Close() }, store.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := openFeed(t)
			ctx, cancel := context.WithCancel(boundWait(t))
			defer cancel()
			go test.end(s, cancel)
			if _, err := f.All(0).Next(ctx); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestAwait(t *testing.T) {
	f, _ := openFeed(t)
	began := time.Now()
	f.Await(boundWait(t), recordEvent(t, f), time.Minute) // the event exists already
	go f.Note(audit.Event{Kind: audit.EventReport})
	f.Await(boundWait(t), 2, time.Minute)
	if waited := time.Since(began); waited > 30*time.Second {
		t.Errorf("waited %v for an event that came at once", waited)
	}
	f.Await(boundWait(t), 9, time.Millisecond)
	ctx, cancel := context.WithCancel(boundWait(t))
	cancel()
	f.Await(ctx, 9, time.Minute)
}

func TestLostEventIsLogged(t *testing.T) {
	_, s := openFeed(t)
	_ = s.Close()
	var out strings.Builder
	f := feed.New(s, slog.New(slog.NewTextHandler(&out, nil)))
	if _, ok := f.Note(audit.Event{Kind: audit.EventReport,
		Device: audit.Named{Name: "front-reader"}}); ok {
		t.Error("a closed store has recorded an event")
	}
	for _, want := range []string{"event lost", "kind=report", "device=front-reader"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}

// The memory of a feed grows only with the number of devices, not with the number of changes.
func BenchmarkDeviceChanged(b *testing.B) {
	f := feed.New(nil, nil)
	ids := make([]access.ID, 1000)
	for i := range ids {
		ids[i] = access.ID(fmt.Sprintf("device%04d", i))
		f.DeviceChanged(ids[i])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.DeviceChanged(ids[i%len(ids)])
	}
}

// Where the oldest events were removed, searches and subscribers begin at the first that is kept, and
// see each event once.
func TestRemovedEventsAreNotSearched(t *testing.T) {
	f, s := openFeed(t)
	for range 30 {
		recordEvent(t, f)
	}
	if got, err := s.RemoveOldest(t.Context(), 20, 30); err != nil || got != 20 {
		t.Fatal(got, err)
	}
	newest, err := f.SearchNewest(t.Context(), 25, time.Time{}, 100, "")
	if err != nil || len(newest) != 5 || newest[0].Seq != 21 || newest[4].Seq != 25 {
		t.Errorf("got %v, %v, want events 21 to 25", newest, err)
	}
	found, next, err := f.SearchFrom(t.Context(), 1, 100, "")
	if err != nil || len(found) != 10 || found[0].Seq != 21 || next != 31 {
		t.Errorf("got %v, next %d, %v, want events 21 to 30", found, next, err)
	}
	news, err := f.Events(1).Next(t.Context())
	if err != nil || len(news.Events) != 10 || news.Events[0].Seq != 21 {
		t.Errorf("got %v, %v, want events 21 to 30", news.Events, err)
	}
}
