package doctor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"latchkey/gateway/store/seal"
)

// The whole store is verified soon after the start, and then once a day. The start itself has
// verified the newest part.
const (
	verifyFirst = time.Minute
	verifyEvery = 24 * time.Hour
)

// Verifier is the part of store.Store that VerifyStore uses.
type Verifier interface {
	VerifyQuietly(ctx context.Context) error
	Verified() (at time.Time, seq uint64, problem error)
}

// VerifyStore checks the whole store from time to time, at a limited rate, and logs what it finds,
// until ctx ends. Decisions go on in any case, because they do not read the disk. every is the time
// between two checks; zero: a day.
func VerifyStore(ctx context.Context, st Verifier, every time.Duration, log *slog.Logger) {
	if every == 0 {
		every = verifyEvery
	}
	wait := time.NewTimer(min(verifyFirst, every))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		began := time.Now()
		switch err := st.VerifyQuietly(ctx); {
		case err == nil:
			_, seq, _ := st.Verified()
			log.Info("store verified", "events", seq, "took", time.Since(began).Round(time.Millisecond).String())
		case errors.Is(err, seal.ErrCorrupt):
			log.Error("store damaged", "err", err)
		}
		wait.Reset(every)
	}
}
