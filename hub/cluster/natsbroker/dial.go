package natsbroker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

const (
	reconnectWait = 250 * time.Millisecond
	// A server that answers two pings in a row with nothing is left for another one: after 4 to 6
	// s, as long as an election takes.
	pingInterval = 2 * time.Second
	pingsMissed  = 2
)

// Dial returns at once, also while no broker answers: then it goes on trying. The error is of
// options that make no sense, and of files that cannot be read.
func Dial(o Options) (*Broker, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &Broker{o: o, log: o.Log, quit: make(chan struct{}), told: make(chan cluster.Claim, claimsMax)}
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

func (n *Broker) dial() (err error) {
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

// staying is what makes a connection last.
func (n *Broker) staying() []nats.Option {
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

// Conn is the connection, for what gateways tell each other beside the stream.
func (n *Broker) Conn() *nats.Conn { return n.nc }

// Close ends the connection. What was published and not answered is reported as an error that
// leaves it open whether it was stored.
func (n *Broker) Close() {
	n.close.Do(func() {
		close(n.quit)
		n.nc.Close()
		n.dialer.close()
		n.done.Wait()
		n.outgoing.abandon()
	})
}

// Prepare implements cluster.Broker.
func (n *Broker) Prepare(ctx context.Context) error {
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
