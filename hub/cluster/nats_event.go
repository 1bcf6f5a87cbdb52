package cluster

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// happened is what the node has yet to be told. What happens twice is told once.
type happened struct {
	events  atomic.Uint32
	changed chan struct{}
}

func (h *happened) init() { h.changed = make(chan struct{}, 1) }

func (h *happened) raise(e Event) {
	for isIn := false; !isIn; {
		was := h.events.Load()
		isIn = h.events.CompareAndSwap(was, uint32(Event(was).then(e)))
	}
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Changed implements Broker.
func (n *NATS) Changed() <-chan struct{} { return n.happened.changed }

// take returns what has happened since it was called last.
func (h *happened) take() Event { return Event(h.events.Swap(0)) }

// Events implements Broker.
func (n *NATS) Events() Event {
	e := n.happened.take()
	if e&Up != 0 {
		n.outgoing.connection.Store(n.connection())
	}
	return e
}

// connection is the number of the one that is there, or was: nats.go counts before it uses one.
func (n *NATS) connection() uint64 { return n.nc.Stats().Reconnects }

// natsCounts are what a NATS has seen since it was made.
type natsCounts struct {
	connects  atomic.Uint64 // connections made
	dropped   atomic.Uint64 // messages that came faster than the node took them
	malformed atomic.Uint64 // messages that neither the stream nor a node can have sent
	denied    atomic.Uint64 // what the broker's permissions refused
}

// advisories are what the broker tells of the stream.
const advisories = "$JS.EVENT.ADVISORY.STREAM."

// advised is what of it we want to know.
var advised = []string{"LEADER_ELECTED", "CREATED", "UPDATED", "DELETED"}

func (n *NATS) listen() error {
	for _, what := range advised {
		if _, err := n.nc.Subscribe(advisories+what+"."+streamName, n.advise); err != nil {
			return err
		}
	}
	return n.listenToClaims()
}

func (n *NATS) advise(m *nats.Msg) {
	if strings.HasPrefix(m.Subject, advisories+"LEADER_ELECTED.") {
		n.happened.raise(Leader)
		return
	}
	n.happened.raise(Up)
}

func (n *NATS) connected(c *nats.Conn) {
	n.counts.connects.Add(1)
	n.log.Info("connected to a NATS server", "server", c.ConnectedUrlRedacted(), "cluster", c.ConnectedClusterName())
	n.happened.raise(Up)
}

func (n *NATS) disconnected(_ *nats.Conn, err error) {
	n.log.Warn("the connection to the NATS server is lost", "error", err)
	n.happened.raise(Down)
}

func (n *NATS) closed(c *nats.Conn) {
	n.log.Error("the connection to the NATS servers is closed for good", "error", c.LastError())
	n.happened.raise(Closed)
}

// deniedLines is how many refusals are logged. They are of a few kinds, and all are counted.
const deniedLines = 20

// failed hears of errors that are nobody's answer.
func (n *NATS) failed(_ *nats.Conn, _ *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		n.happened.raise(Slow)
	case isOfProbe(err):
	case errors.Is(err, nats.ErrPermissionViolation):
		if n.counts.denied.Add(1) <= deniedLines {
			n.log.Error("the NATS servers refuse what this gateway needs", "error", err)
		}
	default:
		n.log.Warn("the connection to the NATS server has a fault", "error", err)
	}
}
