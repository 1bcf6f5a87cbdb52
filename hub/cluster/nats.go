package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	dialTimeout   = 2 * time.Second
	reconnectWait = 250 * time.Millisecond
	// A server that answers two pings in a row with nothing is left for another one: after 4 to 6
	// s, as long as an election takes.
	pingInterval = 2 * time.Second
	pingsMissed  = 2
	// writeTimeout is for a socket that takes nothing. The connection is given up then.
	writeTimeout = 5 * time.Second
	// lookTimeout is for questions that are asked again. While servers elect a leader some are
	// answered by nobody, and who waits for long does so beyond the election.
	lookTimeout = 2 * time.Second
)

// NATSOptions say where the broker is, and what stream this gateway expects there.
type NATSOptions struct {
	URLs        []string    // nats:// or tls://, with user and password if they have any; one is chosen at random
	Credentials string      // a file with a user's JWT and seed; empty: none
	TLS         *tls.Config // nil: as the URLs and the server say
	Name        string      // the gateway's, for the broker's monitoring

	Replicas int           // copies of each message, 1 to 5; 0: three, or one where the broker allows no three
	InMemory bool          // the stream is in the brokers' memory, not in files
	Age      time.Duration // for which a message is kept; from 2 minutes, for which ids are
	Messages int64         // packs of a room that are kept
	Bytes    int64         // of all rooms

	MaxMessage int          // the largest message that clients may send, in bytes
	Log        *slog.Logger // nil: nothing is logged
}

// A NATS is a Broker: one connection to NATS, and a stream of JetStream's in which all rooms have
// their order. Its methods may be called by any goroutine.
//
// It has two goroutines beside those of nats.go, however many rooms are followed: send writes, pump
// takes in.
type NATS struct {
	o   NATSOptions
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
	told     chan Claim
	counts   natsCounts
}

var _ Broker = (*NATS)(nil)

// The stream. There is one shard today.
const (
	shards     = 1
	streamName = "SLUICE_0"
	inOfStream = subjectIn + "0.>"
	toOfStream = subjectOut + "0.>"
)

var errNotOpen = errors.New("no NATS server has answered yet")

// DialNATS returns at once, also while no broker answers: then it goes on trying. The error is of
// options that make no sense, and of files that cannot be read.
func DialNATS(o NATSOptions) (*NATS, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &NATS{o: o, log: o.Log, quit: make(chan struct{}), told: make(chan Claim, claimsMax)}
	n.happened.init()
	n.outgoing.init()
	n.incoming.init()
	n.rooms.init()
	if err := n.dial(); err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	n.done.Go(n.send)
	n.done.Go(n.pump)
	return n, nil
}

func (n *NATS) dial() (err error) {
	if n.nc, err = nats.Connect(n.o.servers(), append(n.o.login(), n.staying()...)...); err != nil {
		return err
	}
	if n.js, err = jetstream.New(n.nc, n.publishOptions()...); err == nil {
		err = n.listen()
	}
	if err != nil {
		n.nc.Close()
	}
	return err
}

func (o *NATSOptions) servers() string { return strings.Join(o.URLs, ",") }

// login is what each connection needs.
func (o *NATSOptions) login() []nats.Option {
	options := []nats.Option{nats.Name(o.Name), nats.Timeout(dialTimeout), nats.FlusherTimeout(writeTimeout)}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.TLS != nil {
		options = append(options, nats.Secure(o.TLS))
	}
	return options
}

// staying is what makes a connection last.
func (n *NATS) staying() []nats.Option {
	return []nats.Option{
		nats.SetCustomDialer(&n.dialer),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		// By default nats.go would keep 8 MB for a broker that is away, and send them when nobody
		// waits for them any more.
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // Credentials may be renewed on either side.
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsMissed),
		nats.ReconnectOnFlusherError(),
		nats.NoCallbacksAfterClientClose(),
		nats.ConnectHandler(n.connected),
		nats.ReconnectHandler(n.connected),
		nats.DisconnectErrHandler(n.disconnected),
		nats.ClosedHandler(n.closed),
		nats.ErrorHandler(n.failed),
	}
}

// A dialer makes connections for nats.go. One that is made while its Conn is being closed nats.go
// forgets, open: so the last one is closed here.
type dialer struct {
	mu       sync.Mutex
	last     net.Conn // nil: none yet
	isClosed bool
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed {
		c.Close()
		return nil, net.ErrClosed
	}
	d.last = c
	return c, nil
}

func (d *dialer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isClosed = true
	if d.last != nil {
		d.last.Close()
	}
}

// Conn is the connection, for what gateways tell each other beside the stream.
func (n *NATS) Conn() *nats.Conn { return n.nc }

// Close ends the connection. What was published and not answered is reported as an error that
// leaves it open whether it was stored.
func (n *NATS) Close() {
	n.close.Do(func() {
		close(n.quit)
		n.nc.Close()
		n.dialer.close()
		n.done.Wait()
		n.outgoing.abandon()
	})
}

// Prepare implements Broker.
func (n *NATS) Prepare(ctx context.Context) error {
	n.preparing.Lock()
	defer n.preparing.Unlock()
	info, err := n.openStream(ctx)
	if err != nil {
		return err
	}
	if err := n.openBucket(ctx, info); err != nil {
		return err
	}
	if err := n.setLimit(info); err != nil {
		return err
	}
	n.warnOfForgers(ctx)
	return nil
}
