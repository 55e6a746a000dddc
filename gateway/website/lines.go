package website

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/time/rate"
)

// A stranger may control the child's log. So the number and the length of its lines are bounded,
// and control characters are removed.
const (
	maxLine   = 512
	lineBurst = 200
	lineEvery = time.Second
	dropPause = 5 * time.Millisecond
)

// lines passes the child's log on to ours.
type lines struct {
	log  *slog.Logger
	pace *rate.Limiter // shared by all children, so that one that keeps dying does not fill the log

	mu      sync.Mutex
	rest    []byte // guarded by mu; a line without its end
	long    bool   // guarded by mu; skip the rest of a line that was too long
	dropped int    // guarded by mu; lines
}

func newPace() *rate.Limiter { return rate.NewLimiter(rate.Every(lineEvery), lineBurst) }

// Write never fails. It is slow while lines are dropped, so that the child cannot keep us busy.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped > 0 {
		time.Sleep(dropPause)
	}
	for part := range bytes.Lines(p) {
		line, whole := bytes.CutSuffix(part, []byte("\n"))
		if room := maxLine - len(l.rest); !l.long {
			l.rest = append(l.rest, line[:min(len(line), room)]...)
			l.long = len(line) > room
		}
		if whole {
			l.passOn()
		}
	}
	return len(p), nil
}

// passOn logs a line. The caller holds mu.
func (l *lines) passOn() {
	text := string(l.rest)
	l.rest, l.long = l.rest[:0], false
	if text == "" {
		return
	}
	if !l.pace.Allow() {
		l.dropped++
		return
	}
	level, text := levelOf(cleanText(text))
	l.log.Log(context.Background(), level, "website says", "line", text)
}

// close passes on the last line, and logs how many lines were dropped.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passOn()
	if l.dropped > 0 {
		l.log.Warn("website wrote more lines than are kept", "dropped", l.dropped)
		l.dropped = 0
	}
}

// levelOf splits the level off a line of the child's own log. Any other line is a warning.
func levelOf(line string) (slog.Level, string) {
	rest, ok := strings.CutPrefix(line, "level=")
	if !ok {
		return slog.LevelWarn, line
	}
	name, rest, _ := strings.Cut(rest, " ")
	var level slog.Level
	if level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelWarn, line
	}
	return min(level, slog.LevelError), rest
}

// cleanText replaces control characters, which a terminal or a log viewer could obey.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
