package natsbroker

import (
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

// headerRoom is what of the broker's and the stream's limits is left to headers and a pack's own
// head.
const headerRoom = 4 << 10

// Limit is the largest message that the gateway, the stream and the broker all take, in bytes; zero
// before a broker has answered.
func (n *Broker) Limit() int { return int(n.limit.Load()) }

// judgeLimit tells whether a limit leaves too little to messages.
func judgeLimit(limit int64) error {
	if limit < headerRoom+cluster.LimitMin {
		return fmt.Errorf("%w: messages of %d bytes, heads included, are the largest that the servers and the stream take, and %d is the least that will do",
			cluster.ErrUnfit, limit, headerRoom+cluster.LimitMin)
	}
	return nil
}

// setLimit finds it, and says it when it is not the gateway's own.
func (n *Broker) setLimit(info *jetstream.StreamInfo) error {
	limit := n.nc.MaxPayload()
	if size := int64(info.Config.MaxMsgSize); size > 0 {
		limit = min(limit, size)
	}
	if err := judgeLimit(limit); err != nil {
		return err
	}
	limit = min(limit-headerRoom, int64(n.o.MaxMessage))
	if was := n.limit.Swap(limit); was != limit && limit < int64(n.o.MaxMessage) {
		n.log.Warn("messages may be no larger than the NATS servers and their stream allow", "bytes", limit,
			"max_message", n.o.MaxMessage, "servers", n.nc.MaxPayload(), "stream", info.Config.MaxMsgSize)
	}
	return nil
}
