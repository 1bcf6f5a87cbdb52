package admin

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// tailLines and tailBytes bound what a Tail keeps: lines, and what of each.
	tailLines = 100
	tailBytes = 1 << 10
)

// A Tail is a slog.Handler that hands everything on to another one and keeps the newest lines, from
// slog.LevelInfo up, for the live page. The gateway logs what clients bring about once a second for
// each reason, so these lines are worth keeping, and few.
type Tail struct {
	next slog.Handler
	text slog.Handler // writes to kept.line
	kept *kept

	clock clock
}

// kept is shared by the handlers that WithAttrs and WithGroup make.
type kept struct {
	mu    sync.Mutex
	line  bytes.Buffer // being made
	lines []tailLine   // a ring, once it is full
	next  int          // where the next one goes
}

// A tailLine is one line of the log.
type tailLine struct {
	at    time.Duration // by the Tail's clock
	level slog.Level
	text  string
}

// NewTail returns a Tail in front of next.
func NewTail(next slog.Handler) *Tail {
	k := new(kept)
	text := slog.NewTextHandler(&k.line, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}})
	return &Tail{next: next, text: text, kept: k, clock: newClock()}
}

// Enabled implements slog.Handler.
func (t *Tail) Enabled(ctx context.Context, l slog.Level) bool { return t.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (t *Tail) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		t.keep(ctx, r)
	}
	return t.next.Handle(ctx, r)
}

func (t *Tail) keep(ctx context.Context, r slog.Record) {
	k := t.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.line.Reset()
	if t.text.Handle(ctx, r) != nil {
		return // A buffer takes all; what does not fit into it was no line.
	}
	text := bytes.TrimSuffix(k.line.Bytes(), []byte("\n"))
	one := tailLine{t.clock.now(), r.Level, string(text[:min(len(text), tailBytes)])}
	if len(k.lines) < tailLines {
		k.lines = append(k.lines, one)
		return
	}
	k.lines[k.next] = one
	k.next = (k.next + 1) % tailLines
}

// WithAttrs implements slog.Handler.
func (t *Tail) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Tail{t.next.WithAttrs(attrs), t.text.WithAttrs(attrs), t.kept, t.clock}
}

// WithGroup implements slog.Handler.
func (t *Tail) WithGroup(name string) slog.Handler {
	return &Tail{t.next.WithGroup(name), t.text.WithGroup(name), t.kept, t.clock}
}

// lines are those kept, the newest first.
func (t *Tail) lines() []tailLine {
	k := t.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]tailLine, 0, len(k.lines))
	for i := range k.lines {
		all = append(all, k.lines[(k.next+len(k.lines)-1-i)%len(k.lines)])
	}
	return all
}
