package process

import (
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/shared"
)

// A schedule says when a stream may send. All loops read it; it changes only between phases.
type schedule interface {
	// send sends what is due on l.
	send(st *stream, now time.Duration)
	// wait is how long the loop of l may sleep at most; negative when it does not mind.
	wait(st *stream, now time.Duration) time.Duration
	// isOverdue says that a message is on its way for too long to be waited for.
	isOverdue(st *stream, s *shared.Slot, now time.Duration) bool
}

// A closedLoop sends the next message when fewer than window are on their way to somebody. Latency
// counts from sending, so it does not tell what a server that stalls does to clients that would
// have sent meanwhile.
type closedLoop struct {
	window   uint32
	until    time.Duration // no message after this, on the run's clock; zero for no such time
	patience time.Duration
}

// timeoutCheck is how often a loop with messages on their way looks whether one is overdue.
const timeoutCheck = 20 * time.Millisecond

func (s *closedLoop) send(st *stream, now time.Duration) {
	if s.until != 0 && now >= s.until {
		st.limit = st.sent.Load()
	}
	for n := st.sent.Load(); n < st.limit && n-st.settled < s.window; n++ {
		st.send(now, now)
	}
}

func (s *closedLoop) wait(*stream, time.Duration) time.Duration { return timeoutCheck }

// isOverdue says so when nobody got anything of the stream for as long as patience lasts: a slow
// server is not a lossy one. It begins anew for the message behind one that was given up: a stall
// is one stall, however many wait behind it.
func (s *closedLoop) isOverdue(st *stream, m *shared.Slot, now time.Duration) bool {
	if now-max(m.SentAt(), st.gaveUpAt) < s.patience {
		return false
	}
	_, came := st.rest()
	return now-came >= s.patience
}

// An openLoop sends at a fixed rate, whatever the server does. Latency counts from the instant a
// message was due: a stall of the server, or of the tool, shows in every message that should have
// been sent meanwhile.
type openLoop struct {
	start    time.Duration // when the first message is due, on the run's clock
	interval time.Duration // between two messages of one stream
	stagger  time.Duration // between the same message of two streams
	patience time.Duration
	drain    time.Duration // how long after the last message was due the rest is waited for
}

// unsentMax is how much may wait in the tool for a server that does not read. Messages beyond it
// are sent late, and count from when they were due.
const unsentMax = 4 << 20

func newOpenLoop(cfg *load.Load, start time.Duration) *openLoop {
	per := func(n int) time.Duration { return time.Duration(float64(n) / cfg.Rate * float64(time.Second)) }
	return &openLoop{start: start, interval: per(cfg.Publishers), stagger: per(1), patience: cfg.LossTimeout, drain: cfg.Drain}
}

// due is when the message with this number is to be sent.
func (s *openLoop) due(st *stream, seq uint32) time.Duration {
	return s.start + time.Duration(seq-st.first)*s.interval + time.Duration(st.id)*s.stagger
}

func (s *openLoop) send(st *stream, now time.Duration) {
	for seq := st.sent.Load(); seq < st.limit; seq++ {
		due := s.due(st, seq)
		if due > now || len(st.client.out) > unsentMax {
			break
		}
		st.send(now, due)
	}
	if st.sent.Load() == st.limit || now >= s.due(st, st.limit-1) {
		st.backlog = int(st.limit - st.settled)
	}
}

func (s *openLoop) wait(st *stream, now time.Duration) time.Duration {
	if seq := st.sent.Load(); seq < st.limit {
		return max(s.due(st, seq)-now, 0)
	}
	return timeoutCheck
}

// isOverdue waits for as long as anything arrives anywhere, until the time for draining is over.
func (s *openLoop) isOverdue(st *stream, m *shared.Slot, now time.Duration) bool {
	if st.sent.Load() < st.limit {
		return false
	}
	latest := max(m.SentAt(), time.Duration(st.home.process.rank.Stats.Totals.Arrival.Load()))
	return now-latest >= s.patience || now >= s.due(st, st.limit-1)+s.drain
}
