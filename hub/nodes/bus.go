package nodes

// A Bus carries notes between nodes to those who listen at that moment. None is kept, and one that is
// lost is lost: what has to come through is said again. NATS without a stream is one.
type Bus interface {
	// Send sends a note to all who listen to a subject. It waits for nobody. The error says that it was
	// surely not sent: there is no connection, or it is larger than Largest.
	Send(subject string, note []byte) error
	// Listen has the notes to these subjects come to a channel, in the order in which each node sent
	// them. One that finds it full is dropped. No note comes after stop has returned.
	Listen(to chan<- []byte, subjects ...string) (stop func(), err error)
	// Largest is how large a note may be, in bytes.
	Largest() int
}
