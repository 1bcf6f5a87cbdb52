package hub

import "time"

const (
	// firstVote is how long a member counts in the brake after it was refused, before anybody knows
	// whether its client takes anything. What fills its receive buffer is taken before the kernel
	// is first asked, and buys nothing; from then on the buffer opens in steps. At 5 KB/s with
	// SO_RCVBUF 8 KiB those are of 12 KiB, in 2.5 seconds: with one second the member would lose
	// its vote before the first of them, and a flood needs half a second to overrun it.
	firstVote = 4 * time.Second
	// voteMax is the longest vote that a client can have bought. Acknowledgements come in steps, of
	// 80 KiB at most over loopback, where a client that reads 5 KB/s makes one in 13 seconds.
	voteMax = 16 * time.Second
	// untoldVote is for kernels that do not tell: how long a member counts after it was refused or
	// took bytes.
	untoldVote = 5 * time.Second
	// askEvery is how often a client's kernel is asked at most.
	askEvery = 250 * time.Millisecond
)

// itsVote is m's vote, made if need be.
func (m *Member) itsVote() *vote {
	if m.vote == nil {
		m.vote = &vote{}
	}
	return m.vote
}

// halfWindow is half of the publish window, in which what members publish is counted.
func (b *branch) halfWindow() int64 { return max(1, b.room.hub.limits.Window/2) }

// said counts n bytes of its track that m has just published. In a track that has not had a quarter
// of a window yet nobody said that much: most rooms stay so, and cost nothing.
func (m *Member) said(n int) {
	end := m.branch.track.end.Load()
	if 4*end <= m.branch.room.hub.limits.Window {
		return
	}
	v, half := m.itsVote(), (end-1)/m.branch.halfWindow()
	switch half - v.half {
	case 0:
	case 1:
		v.said = [2]int64{0, v.said[0]}
	default:
		v.said = [2]int64{}
	}
	v.half = half
	v.said[0] += int64(n)
}

// hearsItself reports whether more than a quarter of the last publish window's bytes are m's own.
// That it has got those is no news: a sender that keeps up with itself is no reason to go on
// without the others.
func (m *Member) hearsItself() bool {
	v := m.vote
	if v == nil || v.said[0] == 0 {
		return false
	}
	own := v.said[0]
	switch (m.branch.track.end.Load()-1)/m.branch.halfWindow() - v.half {
	case 0:
		own += v.said[1]
	case 1:
	default:
		return false
	}
	return 4*own > m.branch.room.hub.limits.Window
}

// wrote counts n bytes that the kernel of m's client, which is blocked, took now.
func (m *Member) wrote(n int, now time.Duration) {
	m.took = now
	v := m.vote
	if v == nil || !v.isAsked {
		return
	}
	v.written += int64(n)
	// What these buy is added when the kernel is asked, which it is not as long as such writes show
	// that the client takes something.
	v.until = max(v.until, now+min(2*askEvery, m.buys(int64(n))))
}

// buys is how long a vote n bytes buy, voteMax at most.
func (m *Member) buys(n int64) time.Duration {
	rate := m.branch.room.hub.limits.MinRate
	if n >= int64(voteMax/time.Second)*rate {
		return voteMax
	}
	return time.Duration(n) * time.Second / time.Duration(rate)
}

// Ask asks the kernel of m's client what the client has taken, if m is blocked, nothing was written
// for a while and the last time was a while ago. Rounds do so whenever they come to m; m's client
// calls it when AskAt has come, in case none does.
func (m *Member) Ask(now time.Duration) {
	if at, ok := m.AskAt(); ok && now >= at {
		m.ask(now)
	}
}

// AskAt is when Ask may ask next; false: m is not blocked.
func (m *Member) AskAt() (at time.Duration, ok bool) {
	at = m.took
	if m.vote != nil && m.vote.isAsked {
		at = max(at, m.vote.asked)
	}
	return at + askEvery, m.IsBlocked()
}

// IsAsked reports whether the kernel was asked since m was refused.
func (m *Member) IsAsked() bool { return m.vote != nil && m.vote.isAsked }

// ask asks the kernel at once.
func (m *Member) ask(now time.Duration) {
	v := m.itsVote()
	queued, means := m.client.Queued()
	taken := v.queued + v.written - queued
	isFirst := !v.isAsked
	v.isAsked, v.asked, v.queued, v.written = true, now, queued, 0
	switch {
	case means == QueuedUntold:
		v.until = max(v.until, m.took+untoldVote)
	case isFirst:
		// There is nothing to compare with yet: until now it may have taken some.
		v.until = max(v.until, m.took+firstVote, now+askEvery)
		v.moved = now
	case taken > 0:
		bought := m.buys(taken)
		if means == QueuedMemory {
			bought = voteMax
		}
		v.until = min(max(v.until, now)+bought, now+voteMax)
		v.moved = now
	}
}

// isStalled reports whether m is blocked and has no vote: when its client's kernel was asked last
// its credit was used up.
func (m *Member) isStalled() bool {
	if !m.IsBlocked() {
		return false
	}
	m = m.voter()
	return m.IsBlocked() && m.vote != nil && m.vote.isAsked && m.vote.asked >= m.vote.until
}

// HasStopped reports whether m is blocked and its client has taken nothing for d, of which its
// kernel is asked before it is said.
func (m *Member) HasStopped(now, d time.Duration) bool {
	if !m.IsBlocked() || now < m.StopsAt(d) {
		return false
	}
	m.ask(now)
	return now >= m.StopsAt(d)
}

// StopsAt is when m's client will have taken nothing for d, as things stand.
func (m *Member) StopsAt(d time.Duration) time.Duration {
	at := m.took
	if m.IsAsked() {
		at = max(at, m.vote.moved)
	}
	return at + d
}
