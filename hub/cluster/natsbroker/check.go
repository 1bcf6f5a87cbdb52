package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnreached is of servers that are not there at the moment: nobody knows what they would refuse.
// A gateway starts without them, and waits.
var ErrUnreached = errors.New("no server can be reached")

// isUnreached tells a server that is not there from one that refuses. NATS' client has its own word
// where all refuse the connection.
func isUnreached(err error) bool {
	var dial *net.OpError
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.As(err, &dial) && dial.Op == "dial"
}

// Check connects once and tells all that the broker would refuse this gateway, or allows and
// should not, or ErrUnreached alone. It makes and changes nothing. Nil is that there is nothing to
// tell.
func Check(ctx context.Context, o Options) []error {
	var refusals refusals
	isClosed := make(chan struct{})
	nc, err := nats.Connect(o.servers(), append(o.login(), nats.NoReconnect(), nats.ErrorHandler(refusals.add),
		nats.ClosedHandler(func(*nats.Conn) { close(isClosed) }))...)
	if err != nil && isUnreached(err) {
		return []error{fmt.Errorf("connecting to NATS: %w: %w", ErrUnreached, err)}
	}
	if err != nil {
		return []error{fmt.Errorf("connecting to NATS: %w", err)}
	}
	found := o.check(ctx, nc)
	nc.Close()
	<-isClosed // It is the last of the connection's callbacks.
	return append(refusals.all, found...)
}

// refusals collects what permissions refuse, each thing once.
type refusals struct {
	mu  sync.Mutex
	all []error
}

func (r *refusals) add(_ *nats.Conn, _ *nats.Subscription, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if isOfProbe(err) {
		return
	}
	for _, e := range r.all {
		if e.Error() == err.Error() {
			return
		}
	}
	r.all = append(r.all, err)
}

func (o *Options) check(ctx context.Context, nc *nats.Conn) (found []error) {
	if err := o.tryPermissions(ctx, nc); err != nil {
		return []error{fmt.Errorf("asking NATS: %w", err)}
	}
	forgeable, err := mayForge(ctx, nc)
	if err == nil && forgeable {
		err = ErrForgeable
	}
	if err != nil {
		found = append(found, err)
	}
	if err := judgeLimit(nc.MaxPayload()); err != nil {
		found = append(found, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return append(found, err)
	}
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return append(found, fmt.Errorf("JetStream: %w", err))
	}
	s, err := js.Stream(ctx, streamName)
	switch {
	case err == nil:
		err = o.hold(s.CachedInfo())
	case errors.Is(err, jetstream.ErrStreamNotFound):
		err = o.holdAccount(account)
	default:
		err = fmt.Errorf("stream %s: %w", streamName, err)
	}
	if err != nil {
		found = append(found, err)
	}
	return found
}

// tryPermissions does what a gateway does, so that nothing comes of it: what is published is for a
// stream that is not there, and what is asked has no address for an answer.
func (o *Options) tryPermissions(ctx context.Context, nc *nats.Conn) error {
	for _, what := range advised {
		if _, err := nc.SubscribeSync(advisories + what + "." + streamName); err != nil {
			return err
		}
	}
	if _, err := nc.SubscribeSync(subject(subjectOut, probeRoom, shards)); err != nil {
		return err
	}
	for _, s := range []string{subject(subjectIn, probeRoom, shards), "$KV." + bucket + "." + epochKey} {
		m := nats.NewMsg(s)
		m.Header.Set(jetstream.ExpectedStreamHeader, "-")
		if err := nc.PublishMsg(m); err != nil {
			return err
		}
	}
	if _, err := nc.SubscribeSync(notes + "to." + probeRoom); err != nil {
		return err
	}
	for _, s := range []string{notes + "to." + probeRoom, apiDirectGet + streamName, apiGet + streamName, apiGet + bucketStream} {
		if err := nc.Publish(s, nil); err != nil {
			return err
		}
	}
	return nc.FlushWithContext(ctx)
}

// probeRoom is a name like rooms'. Nothing is ever stored there.
const probeRoom = "probe"

// holdAccount holds the account's limits against a stream that has yet to be made. What the servers
// have left of their own is not told to clients: making the stream finds out.
func (o *Options) holdAccount(info *jetstream.AccountInfo) error {
	l := info.Limits
	all, one, name := l.MaxStore, l.StoreMaxStreamBytes, "files"
	if o.InMemory {
		all, one, name = l.MaxMemory, l.MemoryMaxStreamBytes, "memory"
	}
	need := o.Bytes + bucketBytes
	switch {
	case len(info.Tiers) > 0: // Its limits are by the number of copies, which the broker decides with us.
	case all >= 0 && need > all:
		return fmt.Errorf("the account may have %d bytes of %s, fewer than the %d of --cluster-bytes and %d for the epoch", all, name, o.Bytes, bucketBytes)
	case one > 0 && o.Bytes > one:
		return fmt.Errorf("a stream may have %d bytes of %s, fewer than the %d of --cluster-bytes", one, name, o.Bytes)
	case l.MaxStreams >= 0 && info.Streams+2 > l.MaxStreams:
		return fmt.Errorf("the account may have %d streams and has %d: two more are needed", l.MaxStreams, info.Streams)
	}
	return nil
}
