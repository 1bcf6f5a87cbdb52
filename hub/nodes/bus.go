package nodes

// A Bus carries notes between nodes to those who listen at that moment. None is kept, and one that
// is lost is lost: what has to come through is said again. NATS without a stream is one.
type Bus interface {
	// Send sends a note to all who listen to a subject. It waits for none of them, and for a broker
	// that takes nothing for some seconds at most. The error says that it was not sent, or may not
	// have been.
	Send(subject string, note []byte) error
	// Listen makes the notes to these subjects come to a channel, those to one subject in the order
	// in which each node sent them. One that finds it full is dropped, and so are all after stop.
	Listen(to chan<- []byte, subjects ...string) (stop func(), err error)
}
