package natsbroker

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"sluice/hub/cluster"
)

// Changed implements cluster.Broker.
func (n *Broker) Changed() <-chan struct{} { return n.happened.changed }

// Events implements cluster.Broker.
func (n *Broker) Events() cluster.Event {
	e := n.happened.take()
	if e&cluster.Up != 0 {
		n.outgoing.connection.Store(n.connection())
	}
	return e
}

// advisories are what the broker tells of the stream.
const advisories = "$JS.EVENT.ADVISORY.STREAM."

// advised is what of it we want to know.
var advised = []string{"LEADER_ELECTED", "CREATED", "UPDATED", "DELETED"}

func (n *Broker) listen() error {
	for _, what := range advised {
		if _, err := n.nc.Subscribe(advisories+what+"."+streamName, n.advise); err != nil {
			return err
		}
	}
	return n.listenToClaims()
}

func (n *Broker) advise(m *nats.Msg) {
	if strings.HasPrefix(m.Subject, advisories+"LEADER_ELECTED.") {
		n.happened.raise(cluster.Leader)
		return
	}
	n.happened.raise(cluster.Up)
}

func (n *Broker) connected(c *nats.Conn) {
	n.counts.connects.Add(1)
	n.log.Info("connected to a NATS server", "server", c.ConnectedUrlRedacted(), "cluster", c.ConnectedClusterName())
	n.happened.raise(cluster.Up)
}

func (n *Broker) disconnected(_ *nats.Conn, err error) {
	n.log.Warn("the connection to the NATS server is lost", "error", err)
	n.happened.raise(cluster.Down)
}

func (n *Broker) closed(c *nats.Conn) {
	n.log.Error("the connection to the NATS servers is closed for good", "error", c.LastError())
	n.happened.raise(cluster.Closed)
}

// failed hears of errors that are nobody's answer.
func (n *Broker) failed(_ *nats.Conn, _ *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		n.happened.raise(cluster.Slow)
	case isOfProbe(err):
	case errors.Is(err, nats.ErrPermissionViolation):
		if n.counts.denied.Add(1) <= deniedLines {
			n.log.Error("the NATS servers refuse what this gateway needs", "error", err)
		}
	default:
		n.log.Warn("the connection to the NATS server has a fault", "error", err)
	}
}
