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

func open(t *testing.T) (*feed.Feed, *store.Store) {
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

func note(t *testing.T, f *feed.Feed) uint64 {
	t.Helper()
	ev, ok := f.Note(audit.Event{Kind: audit.EventReport})
	if !ok {
		t.Fatal("the event was not kept")
	}
	return ev.Seq
}

// bound ends a test that waits for something that does not come.
func bound(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestCursorMissesNoEvent(t *testing.T) {
	f, _ := open(t)
	const each, writers = 100, 4
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, ok := f.Note(audit.Event{Kind: audit.EventReport}); !ok {
					t.Error("the event was not kept")
				}
			}
		})
	}
	ctx, cursor := bound(t), f.Events(1)
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
	f, _ := open(t)
	for range 600 { // more than is read at a time
		note(t, f)
	}
	for _, from := range []uint64{1, 300, 601, 0} {
		cursor, want := f.Events(from), from
		last := note(t, f)
		if from == 0 { // only what comes after now
			want = last
		}
		for want <= last {
			news, err := cursor.Next(bound(t))
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
	f, _ := open(t)
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
	news, err := all.Next(bound(t))
	slices.Sort(news.Devices)
	if err != nil || !slices.Equal(news.Devices, []access.ID{"front00000", "hall000000"}) ||
		len(news.Events) != 0 {
		t.Errorf("got %v, %v, want front and hall, each once", news, err)
	}
	seq := note(t, f)
	if news, err := all.Next(bound(t)); err != nil || len(news.Devices) != 0 || len(news.Events) != 1 ||
		news.Events[0].Seq != seq {
		t.Errorf("got %v, %v, want event %d alone", news, err, seq)
	}
	if news, err := events.Next(bound(t)); err != nil || len(news.Devices) != 0 || len(news.Events) != 1 {
		t.Errorf("a subscriber of events: got %v, %v, want the event alone", news, err)
	}
}

// A cursor that waits is woken by either of the two.
func TestCursorIsWoken(t *testing.T) {
	f, _ := open(t)
	cursor := f.All(0)
	for _, wake := range []func(){func() { note(t, f) }, func() { f.DeviceChanged("front00000") }} {
		got := make(chan error, 1)
		go func() {
			_, err := cursor.Next(bound(t))
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
			f, s := open(t)
			ctx, cancel := context.WithCancel(bound(t))
			defer cancel()
			go test.end(s, cancel)
			if _, err := f.All(0).Next(ctx); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestAwait(t *testing.T) {
	f, _ := open(t)
	began := time.Now()
	f.Await(bound(t), note(t, f), time.Minute) // it is there
	go f.Note(audit.Event{Kind: audit.EventReport})
	f.Await(bound(t), 2, time.Minute)
	if waited := time.Since(began); waited > 30*time.Second {
		t.Errorf("waited %v for an event that came at once", waited)
	}
	f.Await(bound(t), 9, time.Millisecond)
	ctx, cancel := context.WithCancel(bound(t))
	cancel()
	f.Await(ctx, 9, time.Minute)
}

func TestLostEventIsLogged(t *testing.T) {
	_, s := open(t)
	_ = s.Close()
	var out strings.Builder
	f := feed.New(s, slog.New(slog.NewTextHandler(&out, nil)))
	if _, ok := f.Note(audit.Event{Kind: audit.EventReport,
		Device: audit.Named{Name: "front-reader"}}); ok {
		t.Error("a closed store has kept an event")
	}
	for _, want := range []string{"event lost", "kind=report", "device=front-reader"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}

// What a feed remembers does not grow with the number of changes, only with that of the devices.
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
