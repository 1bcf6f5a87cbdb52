package cluster

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// headerRoom is what of the broker's and the stream's limits is left to headers and a pack's own head.
const headerRoom = 4 << 10

// Limit is the largest message that the gateway, the stream and the broker all take, in bytes; zero
// before a broker has answered.
func (n *NATS) Limit() int { return int(n.limit.Load()) }

// setLimit finds it, and says it when it is not the gateway's own.
func (n *NATS) setLimit(info *jetstream.StreamInfo) {
	limit := n.nc.MaxPayload()
	if size := int64(info.Config.MaxMsgSize); size > 0 {
		limit = min(limit, size)
	}
	limit = min(limit-headerRoom, int64(n.o.MaxMessage))
	if was := n.limit.Swap(limit); was != limit && limit < int64(n.o.MaxMessage) {
		n.log.Warn("messages may be no larger than the broker and its stream allow", "bytes", limit,
			"max-message", n.o.MaxMessage, "broker", n.nc.MaxPayload(), "stream", info.Config.MaxMsgSize)
	}
}

// warnOfForgers says once if the permissions let others do what only the stream should.
func (n *NATS) warnOfForgers(ctx context.Context) {
	if n.isProbed.Load() {
		return
	}
	forgeable, err := mayForge(ctx, n.nc)
	if err != nil {
		return // The next connection finds out.
	}
	n.isProbed.Store(true)
	if forgeable {
		n.log.Warn("the broker's permissions are too wide", "error", ErrForgeable)
	}
}
