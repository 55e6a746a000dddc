package demo

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"latchkey/gateway/store"
)

// testSetting is the setting of a demo that is not started by a command line.
var testSetting = Setting{Socket: "admin.sock",
	Options: func(dir string) store.Options { return store.Options{Dir: dir} }}

func TestInterruptEndsHoldOfNothing(t *testing.T) {
	h, err := Build(t.Context(), testSetting, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, play := range map[string]func(context.Context, *House) string{"scan": scanHeld,
		"command": commandHeld} {
		done := make(chan struct{})
		go func() { defer close(done); play(ctx, h) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("waited 20 s for the hold of a %s to end", name)
		}
	}
}

func TestInterruptEndsBuilding(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	h := &House{}
	if err := h.await(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
