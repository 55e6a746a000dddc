package certificate

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLog copies certmagic's errors into our log. The rest of its log is about its internals.
type zapLog struct {
	log *slog.Logger
}

func zapTo(log *slog.Logger) *zap.Logger { return zap.New(zapLog{log}) }

// Enabled implements [zapcore.LevelEnabler].
func (zapLog) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }

// With implements [zapcore.Core].
func (z zapLog) With(fields []zapcore.Field) zapcore.Core {
	return zapLog{z.log.With(attrs(fields)...)}
}

// Check implements [zapcore.Core].
func (z zapLog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

// Write implements [zapcore.Core].
func (z zapLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == "could not get certificate from issuer" {
		return nil // another line reports this with the time of the next try
	}
	z.log.Log(context.Background(), slog.LevelWarn, "ACME: "+e.Message, attrs(fields)...)
	return nil
}

// Sync implements [zapcore.Core].
func (zapLog) Sync() error { return nil }

// taken maps those of certmagic's fields that help a person to our names. Other fields may hold
// secrets.
var taken = map[string]string{"error": "err", "attempt": "attempt", "retrying_in": "again", "problem": "err"}

func attrs(fields []zapcore.Field) (out []any) {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		if key, ok := taken[f.Key]; ok {
			f.AddTo(enc)
			out = append(out, slog.Any(key, enc.Fields[f.Key]))
		}
	}
	return out
}
