package hub

import "fmt"

// A Policy says what becomes of a member that the log has overtaken: one whose client is so slow that the room no longer
// retains what it has to send next.
type Policy uint8

const (
	// Disconnect makes it leave: it gets the rest of the frame that is partly sent, and is told why.
	Disconnect Policy = iota
	// Skip moves it to the oldest frame retained: it misses as little as possible.
	Skip
	// Latest moves it to the newest frame as soon as its client takes bytes again: for streams of which each message
	// replaces those before it.
	Latest
	numPolicies
)

var policyNames = [numPolicies]string{Disconnect: "disconnect", Skip: "skip", Latest: "latest"}

// String is the policy's name in flags and logs.
func (p Policy) String() string { return policyNames[p] }

// UnmarshalText takes a name that String returns.
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policyNames {
		if name == string(text) {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a policy: it is disconnect, skip or latest", text)
}

// overtake deals with a blocked member that stands before the oldest segment retained. What is left of the frame that it is in
// the middle of is copied, and the segment is let go.
func (b *branch) overtake(m *Member) {
	f, policy := b.fan, b.room.policy
	f.stats.Overtaken[policy]++
	rest := b.restFor(m)
	if policy == Disconnect {
		m.Leave()
	} else {
		m.skipTo(cursor{seg: b.round.oldest})
		m.isSkipping = policy == Latest
	}
	m.sink.Overtaken(rest)
	f.fitPins()
}

// skipTo moves m to a frame further on, and counts what it misses by that.
func (m *Member) skipTo(to cursor) {
	next := m.cursor.seq()
	if m.cursor.restOfFrame() > 0 {
		next++ // It gets the whole of the frame it is in.
	}
	m.branch.fan.stats.Missed += to.seq() - next
	m.cursor = to
}

// catchUp is called when m's client takes bytes again, before anything more of the room is sent: if m was overtaken under
// the policy Latest, the newest frame is what goes next.
func (m *Member) catchUp() {
	if !m.isSkipping || m.cursor.restOfFrame() > 0 {
		return
	}
	m.isSkipping = false
	r := m.branch.room
	r.mu.Lock()
	newest := m.branch.track.atNewest()
	r.mu.Unlock()
	if newest.seq() > m.cursor.seq() {
		m.skipTo(newest)
	}
}
