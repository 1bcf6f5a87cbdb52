// Package natsbroker has JetStream be a cluster's broker: by one connection to NATS, and a stream
// in which all rooms have their order.
//
// # Files
//
//	options.go, check.go     what is to be connected to, and whether that will do
//	dial.go, dialer.go       the connection
//	happened.go, event.go    what the node is told of it
//	stream.go, limit.go      the stream's settings, and how large a message may be
//	subject.go               what subjects are called
//	outgoing.go, publish.go  packs on their way
//	follow.go, incoming.go   rooms that are followed, and what was republished
//	read.go                  what the stream keeps
//	epoch.go, claim.go       what all nodes agree upon, and what they say of the stream
//	forge.go                 whether clients could write what only gateways may
//	bus.go                   notes between gateways, for package nodes
package natsbroker

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

// A Broker is a [cluster.Broker]: one connection to NATS, and a stream of JetStream's in which all
// rooms have their order. Its methods may be called by any goroutine.
//
// It has two goroutines beside those of nats.go, however many rooms are followed: send writes, pump
// takes in.
type Broker struct {
	o   Options
	log *slog.Logger
	nc  *nats.Conn
	js  jetstream.JetStream

	quit   chan struct{}
	done   sync.WaitGroup
	close  sync.Once
	dialer dialer

	preparing sync.Mutex
	tooFew    int // how often three copies were too many, under preparing
	epochs    atomic.Pointer[jetstream.KeyValue]
	limit     atomic.Int64
	isProbed  atomic.Bool

	happened happened
	outgoing outgoing
	incoming incoming
	rooms    subscriptions
	told     chan cluster.Claim
	counts   counts
}

var _ cluster.Broker = (*Broker)(nil)

// The stream. There is one shard today.
const (
	shards     = 1
	streamName = "SLUICE_0"
	inOfStream = subjectIn + "0.>"
	toOfStream = subjectOut + "0.>"
)

// lookTimeout is for questions that are asked again. While servers elect a leader some are answered
// by nobody, and who waits for long does so beyond the election.
const lookTimeout = 2 * time.Second

var errNotOpen = errors.New("no NATS server has answered yet")

// connection is the number of the one that is there, or was: nats.go counts before it uses one.
func (n *Broker) connection() uint64 { return n.nc.Stats().Reconnects }

// counts are what a Broker has seen since it was made.
type counts struct {
	connects  atomic.Uint64 // connections made
	dropped   atomic.Uint64 // messages that came faster than the node took them
	malformed atomic.Uint64 // messages that neither the stream nor a node can have sent
	denied    atomic.Uint64 // what the broker's permissions refused
}

// deniedLines is how many refusals are logged. They are of a few kinds, and all are counted.
const deniedLines = 20

// malformed counts a message that makes no sense, and logs the first of them.
func (n *Broker) malformed(m *nats.Msg, err error) {
	if n.counts.malformed.Add(1) <= deniedLines {
		n.log.Warn("a message of the NATS servers is dropped", "subject", m.Subject, "error", err)
	}
}
