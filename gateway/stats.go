package gateway

import (
	"sync/atomic"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// Stats count what the connections of one loop, or of all, did since the start.
type Stats struct {
	Accepted       uint64 // connections, those that came by ServeHTTP included
	Upgrades       uint64
	Streams        uint64        // requests for events that were answered with them
	Subscribers    uint64        // … and upgrades, those of Upgrades, to the protocol for many rooms
	Commands       uint64        // of subscribers …
	CommandErrors  uint64        // … that were answered with an error
	Subscribed     uint64        // subscriptions that began …
	Unsubscribed   uint64        // … and that ended
	Unacknowledged uint64        // publishers that the cluster has not answered in time, or not with a position
	Untold         uint64        // times a client was in a room that keeps nothing when its continuity was not proved
	Gaps           uint64        // times a subscriber missed messages in a room whose offsets it counts
	EarlyBytes     uint64        // handshakes with frames in the same packet
	Received       uint64        // bytes that clients sent, those of ordinary requests' bodies left out
	Messages       uint64        // data messages received
	Published      uint64        // messages that came by Publish
	Sent           uint64        // … by Send, to one client alone
	JoinsTold      uint64        // times a subscriber was told of who came to a room or left it …
	JoinsDropped   uint64        // … and was not, see docs/protocol.md
	Deliveries     uint64        // messages handed to the kernel, once per client
	Bytes          uint64        // of deliveries
	OwnBytes       uint64        // sent to clients beside those: answers, pings, pongs, Close frames, the rest of dropped frames
	Writes         uint64        // writes that did it, each a system call unless it was one of RingWrites
	RingCalls      uint64        // system calls that made many writes each, by io_uring …
	RingWrites     uint64        // … and how many they made
	Refused        uint64        // writes that the kernel did not take whole
	Asked          uint64        // times the kernel was asked what a blocked client has taken
	Deflated       uint64        // messages that were deflated, each once for its room …
	DeflatedFrom   uint64        // … their bytes before …
	DeflatedTo     uint64        // … and after
	Paused         uint64        // times a sender was not read on, because its room was full or others were before it
	Throttled      uint64        // times a sender was not read on, because it was over a rate
	HeldByRoom     time.Duration // how long senders were not read on, all together, because a room was full or others were before them …
	HeldByRate     time.Duration // … and because they were over a rate
	Lent           uint64        // times a connection was given to net/http, each for one request
	Returned       uint64        // of those, back for the next one
	TakenOver      uint64        // connections that came by ServeHTTP
	Moved          uint64        // times a connection went to another loop, where its room is at home
	RegisterFailed uint64
	AcceptFailed   uint64 // by errors of single connections
	AcceptPaused   uint64 // times accepting rested: for want of descriptors or memory, or because of failures in a row
	Rejected       uint64 // connections refused at a limit
	PutOff         uint64 // calls for which the kernel lacked memory, and that were put off
	CutShort       uint64 // connections closed in order whose clients went on sending beyond all bounds
	Refusals       [wsproto.NumReasons]uint64
	Closed         [NumCloseReasons]uint64
	Loop           reactor.Stats
	Broken         uint64 // invariants that did not hold: faults of the gateway's own
	Panics         uint64 // that ended a connection, a request or a room: likewise
	Hub            hub.Stats
	TLS            TLSStats
}

func (s *Stats) add(o *Stats) {
	for _, p := range []struct{ to, from *uint64 }{
		{&s.Accepted, &o.Accepted},
		{&s.Upgrades, &o.Upgrades},
		{&s.Streams, &o.Streams},
		{&s.Subscribers, &o.Subscribers},
		{&s.Commands, &o.Commands},
		{&s.CommandErrors, &o.CommandErrors},
		{&s.Subscribed, &o.Subscribed},
		{&s.Unsubscribed, &o.Unsubscribed},
		{&s.Unacknowledged, &o.Unacknowledged},
		{&s.Gaps, &o.Gaps},
		{&s.EarlyBytes, &o.EarlyBytes},
		{&s.Received, &o.Received},
		{&s.Messages, &o.Messages},
		{&s.Published, &o.Published},
		{&s.Sent, &o.Sent},
		{&s.JoinsTold, &o.JoinsTold},
		{&s.JoinsDropped, &o.JoinsDropped},
		{&s.Deliveries, &o.Deliveries},
		{&s.Bytes, &o.Bytes},
		{&s.OwnBytes, &o.OwnBytes},
		{&s.Writes, &o.Writes},
		{&s.RingCalls, &o.RingCalls},
		{&s.RingWrites, &o.RingWrites},
		{&s.Refused, &o.Refused},
		{&s.Asked, &o.Asked},
		{&s.Deflated, &o.Deflated},
		{&s.DeflatedFrom, &o.DeflatedFrom},
		{&s.DeflatedTo, &o.DeflatedTo},
		{&s.Paused, &o.Paused},
		{&s.Throttled, &o.Throttled},
		{&s.Lent, &o.Lent},
		{&s.Returned, &o.Returned},
		{&s.TakenOver, &o.TakenOver},
		{&s.Moved, &o.Moved},
		{&s.RegisterFailed, &o.RegisterFailed},
		{&s.AcceptFailed, &o.AcceptFailed},
		{&s.AcceptPaused, &o.AcceptPaused},
		{&s.Rejected, &o.Rejected},
		{&s.PutOff, &o.PutOff},
		{&s.CutShort, &o.CutShort},
		{&s.Loop.Ticks, &o.Loop.Ticks},
		{&s.Loop.Events, &o.Loop.Events},
		{&s.Loop.StaleEvents, &o.Loop.StaleEvents},
		{&s.Loop.Pauses, &o.Loop.Pauses},
		{&s.Loop.Wakes, &o.Loop.Wakes},
	} {
		*p.to += *p.from
	}
	s.Loop.TickTimes.Add(&o.Loop.TickTimes)
	s.HeldByRoom += o.HeldByRoom
	s.HeldByRate += o.HeldByRate
	s.Hub.Add(&o.Hub)
	s.TLS.add(&o.TLS)
	for i := range o.Refusals {
		s.Refusals[i] += o.Refusals[i]
	}
	for i := range o.Closed {
		s.Closed[i] += o.Closed[i]
	}
}

// TLSStats count what became of connections to TLS listeners.
type TLSStats struct {
	Handshakes uint64 // that succeeded …
	Resumed    uint64 // … of sessions that had been before
	Failed     [NumTLSFailures]uint64
	Truncated  uint64 // WebSockets whose stream ended without close_notify
	Parked     int    // handshakes that wait for their client's bytes at this moment
	Running    int    // … and that are worked on
	Expires    int64  // seconds since 1970 when the first of the certificates that files have is over; 0 without any
}

func (s *TLSStats) add(o *TLSStats) {
	s.Handshakes += o.Handshakes
	s.Resumed += o.Resumed
	s.Truncated += o.Truncated
	s.Parked += o.Parked
	for i := range o.Failed {
		s.Failed[i] += o.Failed[i]
	}
}

// An httpRefusals counts what is refused on goroutines of net/http, which belong to no loop.
type httpRefusals struct {
	rejected atomic.Uint64
	refused  [wsproto.NumReasons]atomic.Uint64
}

func (h *httpRefusals) addTo(s *Stats) {
	s.Rejected += h.rejected.Load()
	for i := range h.refused {
		s.Refusals[i] += h.refused[i].Load()
	}
}
