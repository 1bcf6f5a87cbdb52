package natsbroker

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// A Bus carries notes between gateways over a Broker's connection, beside its stream: to those who
// listen at that moment. Package nodes says what for.
type Bus struct{ nc *nats.Conn }

// notes is what the subjects of all notes begin with.
const notes = "sluice.node."

// Bus is the one of this connection.
func (n *Broker) Bus() Bus { return Bus{n.nc} }

// Send sends a note to all who listen to a subject; without a connection, or if it is larger than
// the broker's limit, that is an error. A socket that takes nothing is waited for no longer than
// writeTimeout.
func (b Bus) Send(subject string, note []byte) error {
	if err := b.nc.Publish(subject, note); err != nil {
		return fmt.Errorf("sending %d bytes to %s: %w", len(note), subject, err)
	}
	return nil
}

// Listen makes the notes to these subjects come to a channel, those to one subject in the order in
// which each gateway sent them. Those that find it full are dropped, and all after stop. It
// outlives reconnects.
func (b Bus) Listen(to chan<- []byte, subjects ...string) (stop func(), err error) {
	var all []*nats.Subscription
	stop = func() {
		for _, s := range all {
			_ = s.Unsubscribe() // It fails where the connection is over, and all subscriptions with it.
		}
	}
	for _, subject := range subjects {
		s, err := b.nc.Subscribe(subject, func(m *nats.Msg) {
			select {
			case to <- m.Data:
			default: // Whoever misses it asks.
			}
		})
		if err != nil {
			stop()
			return nil, fmt.Errorf("listening to %s: %w", subject, err)
		}
		all = append(all, s)
	}
	return stop, nil
}
