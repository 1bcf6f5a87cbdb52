package main

import "time"

// A schedule says when a lane may send. All loops read it; it changes only between phases.
type schedule interface {
	// send sends what is due on l.
	send(l *lane, now time.Duration)
	// wait is how long the loop of l may sleep at most; negative when it does not mind.
	wait(l *lane, now time.Duration) time.Duration
	// isOverdue says that a message is on its way for too long to be waited for.
	isOverdue(l *lane, s *slot, now time.Duration) bool
}

// A closedLoop sends the next message when fewer than window are on their way to somebody. Latency counts from sending,
// so it does not tell what a server that stalls does to those who would have sent meanwhile.
type closedLoop struct {
	window   uint32
	until    time.Duration // no message after this, on the run's clock; zero for no such time
	patience time.Duration
}

// timeoutCheck is how often a loop with messages on their way looks whether one is overdue.
const timeoutCheck = 20 * time.Millisecond

func (s *closedLoop) send(l *lane, now time.Duration) {
	if s.until != 0 && now >= s.until {
		l.limit = l.sent.Load()
	}
	for n := l.sent.Load(); n < l.limit && n-l.settled < s.window; n++ {
		l.send(now, now)
	}
}

func (s *closedLoop) wait(*lane, time.Duration) time.Duration { return timeoutCheck }

// isOverdue says so when nobody got the message for as long as patience lasts: a slow server is not a lossy one.
func (s *closedLoop) isOverdue(_ *lane, m *slot, now time.Duration) bool {
	return now-max(m.sentAt, time.Duration(m.last.Load())) >= s.patience
}

// An openLoop sends at a fixed rate, whatever the server does. Latency counts from the instant a message was due: a stall
// of the server, or of the tool, shows in every message that should have been sent meanwhile.
type openLoop struct {
	start    time.Duration // when the first message is due, on the run's clock
	interval time.Duration // between two messages of one lane
	stagger  time.Duration // between the same message of two lanes
	patience time.Duration
	drain    time.Duration // how long after the last message was due the rest is waited for
}

// unsentMax is how much may wait in the tool for a server that does not read. Messages beyond it are sent late, and count
// from when they were due.
const unsentMax = 4 << 20

func newOpenLoop(cfg *Load, start time.Duration) *openLoop {
	per := func(n int) time.Duration { return time.Duration(float64(n) / cfg.Rate * float64(time.Second)) }
	return &openLoop{start: start, interval: per(cfg.Publishers), stagger: per(1), patience: cfg.LossTimeout, drain: cfg.Drain}
}

// due is when the message with this number is to be sent.
func (s *openLoop) due(l *lane, seq uint32) time.Duration {
	return s.start + time.Duration(seq-l.first)*s.interval + time.Duration(l.id)*s.stagger
}

func (s *openLoop) send(l *lane, now time.Duration) {
	for seq := l.sent.Load(); seq < l.limit; seq++ {
		due := s.due(l, seq)
		if due > now || len(l.client.out) > unsentMax {
			break
		}
		l.send(now, due)
	}
	if l.sent.Load() == l.limit || now >= s.due(l, l.limit-1) {
		l.backlog = int(l.limit - l.settled)
	}
}

func (s *openLoop) wait(l *lane, now time.Duration) time.Duration {
	if seq := l.sent.Load(); seq < l.limit {
		return max(s.due(l, seq)-now, 0)
	}
	return timeoutCheck
}

// isOverdue waits for as long as anything arrives anywhere, until the time for draining is over.
func (s *openLoop) isOverdue(l *lane, m *slot, now time.Duration) bool {
	if l.sent.Load() < l.limit {
		return false
	}
	latest := max(m.sentAt, time.Duration(l.home.run.board.totals.arrival.Load()))
	return now-latest >= s.patience || now >= s.due(l, l.limit-1)+s.drain
}
