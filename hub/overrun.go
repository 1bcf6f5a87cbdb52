package hub

import (
	"fmt"
	"time"
)

// A Policy says what becomes of a member that is overrun: one whose client is so slow that the room no
// longer retains what it has to send next.
type Policy uint8

const (
	// Disconnect makes it leave: it gets the rest of the frame that is partly sent, and is told why.
	Disconnect Policy = iota
	// Skip moves it to the oldest frame retained when its client takes bytes again: it misses as little as possible.
	Skip
	// Latest moves it to the newest frame then: for streams of which each message replaces those before it.
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

// overrun deals with a blocked member that stands before the oldest segment retained. What is left of the
// frame that it is in the middle of is copied, and the segment is let go. Where the policy keeps it, it is
// overrun until its client has taken that rest: nothing that is dropped meanwhile costs anything for it.
func (b *branch) overrun(m *Member, now time.Duration) {
	f, policy, client := b.fan, b.room.policy, m.client
	f.stats.Overrun[policy]++
	rest := b.restFor(m)
	if policy == Disconnect {
		m.isSlow = false // It goes, it does not recover.
		m.Leave()
	} else {
		b.leaveLog(m)
		m.JudgeLag(now)
	}
	client.Overrun(rest)
	f.fitPins()
}

// rejoin puts m, which is overrun, back into the log where its room's policy says, now that its Rest has
// been sent and the kernel takes more.
func (m *Member) rejoin() {
	b := m.branch
	to := b.track.atOldest()
	if b.room.policy == Latest {
		b.room.mu.Lock()
		to = b.track.atNewest()
		b.reported.lowest = min(b.reported.lowest, to.seq()) // A room short of memory may drop it before the next round ends.
		b.room.mu.Unlock()
	}
	b.rejoin(m, to)
}
