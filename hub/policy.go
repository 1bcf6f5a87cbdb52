package hub

import "fmt"

// A Policy says what becomes of a member that is overrun: one whose client is so slow that the room
// no longer retains what it has to send next.
type Policy uint8

const (
	// Disconnect makes it leave: it gets the rest of the frame that is partly sent, and the reason.
	Disconnect Policy = iota
	// Skip moves it to the oldest frame retained when its client takes bytes again: it misses as
	// little as possible.
	Skip
	// Latest moves it to the newest frame then: for streams of which each message replaces those
	// before it.
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
