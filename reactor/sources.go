package reactor

import (
	"fmt"
	"iter"
	"math"
	"time"
)

// A Source is anything a loop watches: a connection, a listener. OnEvent is called on the loop and
// must not block. Several conditions may come in one event.
type Source interface {
	OnEvent(l *Loop, ev Event)
}

// entry is a source as its loop sees it.
type entry struct {
	source   Source
	fd       int32
	mode     Mode
	again    ready // what to report at the next visit; zero when not requeued
	isClosed bool  // closes at the end of this tick; deaf from now on
	isDue    bool  // its timer has left the wheel and is about to fire
}

// Register watches the non-blocking fd for src. From here on the loop owns fd, and closes it; after
// an error it does not. The error is the kernel's (ENOMEM and ENOSPC among them), or says that
// there are Options.SourcesMax already.
func (l *Loop) Register(fd int, in Interest, m Mode, src Source) (Token, error) {
	t, ok := l.sources.Insert(entry{source: src, fd: int32(fd), mode: m})
	if !ok {
		return 0, fmt.Errorf("reactor: register fd %d: %d sources already", fd, l.sources.Len())
	}
	if err := l.poller.Register(fd, t, in, m); err != nil {
		l.sources.Remove(t)
		return 0, err
	}
	return t, nil
}

// Rearm replaces what t is watched for and looks at the readiness anew: a condition that holds now
// is reported. The error is ErrClosed if t is stale or closing, or the kernel's, after which t may
// be deaf: it is to be tried again or closed.
func (l *Loop) Rearm(t Token, in Interest) error {
	e, ok := l.live(t)
	if !ok {
		return fmt.Errorf("reactor: rearm %v: %w", t, ErrClosed)
	}
	return l.poller.Reregister(int(e.fd), t, in, e.mode)
}

// Requeue puts t in line to be visited in a later tick as though the kernel had reported in: its
// budget ended before EAGAIN, so no new edge will come. A source in line does not hear of new bytes
// before its turn.
func (l *Loop) Requeue(t Token, in Interest) { l.queue(&l.requeued, t, in) }

// RequeueCostly is Requeue for costly sources, whose turns take long: they have a line of their
// own, so that they wait for each other and no other source waits for them.
func (l *Loop) RequeueCostly(t Token, in Interest) { l.queue(&l.costly, t, in) }

// queue puts t in line, unless it stands in one already.
func (l *Loop) queue(q *line, t Token, in Interest) {
	e, ok := l.live(t)
	if !ok {
		return
	}
	if e.again == 0 {
		q.waiting = append(q.waiting, t)
	}
	if in&Readable != 0 {
		e.again |= readyRead
	}
	if in&Writable != 0 {
		e.again |= readyWrite
	}
}

// SetTimer makes t's one timer fire after the given time instead of whatever it had; zero cancels
// it.
func (l *Loop) SetTimer(t Token, after time.Duration) {
	e, ok := l.live(t)
	if !ok {
		return
	}
	e.isDue = false
	if after <= 0 {
		l.wheel.Cancel(t.slot())
		return
	}
	// "Never" is a time that no clock reaches, not one long past.
	l.wheel.Set(t.slot(), l.now+min(after, math.MaxInt64-l.now))
}

// TimeLeft is how long it is until t's timer fires; zero: it has none, or is about to. Another
// loop's clock may show another time, so what goes there takes along this, and no deadline.
func (l *Loop) TimeLeft(t Token) time.Duration {
	if _, ok := l.live(t); !ok {
		return 0
	}
	return max(0, l.wheel.Due(t.slot())-l.now)
}

// Close ends t: no event reaches its source any more, and its descriptor closes at the end of this
// tick.
func (l *Loop) Close(t Token) {
	e, ok := l.live(t)
	if !ok {
		return
	}
	e.isClosed = true
	l.wheel.Cancel(t.slot())
	l.closing = append(l.closing, t)
}

// Detach stops watching t and gives its descriptor to the caller, who owns it from here on. After
// an error (ErrClosed if t is stale or closing, or the kernel's) the loop still does.
func (l *Loop) Detach(t Token) (fd int, err error) {
	e, ok := l.live(t)
	if !ok {
		return -1, fmt.Errorf("reactor: detach %v: %w", t, ErrClosed)
	}
	fd = int(e.fd)
	if err := l.poller.Deregister(fd); err != nil {
		return -1, err
	}
	l.wheel.Cancel(t.slot())
	l.sources.Remove(t)
	return fd, nil
}

func (l *Loop) live(t Token) (*entry, bool) {
	e, ok := l.sources.Get(t)
	return e, ok && !e.isClosed
}

func (l *Loop) liveAt(place uint32) (Token, *entry, bool) {
	t, _ := l.sources.tokenAt(place)
	e, ok := l.live(t)
	return t, e, ok
}

// Sources yields every source, closing ones left out; it is an iter.Seq2. A source may be closed
// meanwhile.
func (l *Loop) Sources(yield func(Token, Source) bool) { l.SourcesAfter(0)(yield) }

// SourcesAfter is Sources for those in places behind that of a token, which may be stale: it goes
// on where an earlier pass was left. The zero token is before all.
func (l *Loop) SourcesAfter(t Token) iter.Seq2[Token, Source] {
	return func(yield func(Token, Source) bool) {
		l.sources.after(t, func(t Token, e *entry) bool { return e.isClosed || yield(t, e.source) })
	}
}

// Source returns the source of t, unless t is stale or closing.
func (l *Loop) Source(t Token) (Source, bool) {
	e, ok := l.live(t)
	if !ok {
		return nil, false
	}
	return e.source, true
}

// Len is the number of sources registered, closing ones included.
func (l *Loop) Len() int { return l.sources.Len() }
