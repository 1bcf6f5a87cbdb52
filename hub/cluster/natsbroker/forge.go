package natsbroker

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// ErrForgeable is of permissions with which any client that may do what this gateway may can lie
// about what the stream has stored.
var ErrForgeable = errors.New("this gateway's user may publish on " + subjectOut + ">, where only the stream should: deny it to all users")

// probeSubject is where it is found out whether clients may publish. No room is there.
const probeSubject = subjectOut + "probe."

// mayForge reports whether a message on a republished subject comes back to us before the broker
// answers a ping behind it.
func mayForge(ctx context.Context, nc *nats.Conn) (bool, error) {
	subject := probeSubject + nats.NewInbox()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return false, err
	}
	defer sub.Unsubscribe()
	if err := nc.Publish(subject, nil); err != nil {
		return false, err
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return false, err
	}
	pending, _, err := sub.Pending()
	return pending > 0, err
}

// warnOfForgers says once if the permissions let others do what only the stream should.
func (n *Broker) warnOfForgers(ctx context.Context) {
	if n.isProbed.Load() {
		return
	}
	forgeable, err := mayForge(ctx, n.nc)
	if err != nil {
		return // The next connection finds out.
	}
	n.isProbed.Store(true)
	if forgeable {
		n.log.Warn("the NATS servers' permissions are too wide", "error", ErrForgeable)
	}
}

// isOfProbe reports whether the broker has refused what it should.
func isOfProbe(err error) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), probeSubject)
}
