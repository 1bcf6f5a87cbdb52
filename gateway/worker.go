package gateway

import (
	"container/list"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// spareSources are the sources of a loop that are not connections: listeners.
const spareSources = 64

// A worker is one loop and what its connections share. Everything in it belongs to the loop, but
// for server and log.
type worker struct {
	server *Server
	no     int // among the server's loops
	cfg    *config
	log    *slog.Logger
	kernel reactor.Kernel
	loop   *reactor.Loop
	fan    *hub.Fanout
	conns  atomic.Int64 // connections that are here or on their way: whoever sends one counts it

	buf     []byte          // what was read last
	header  []byte          // a frame header or a control frame being made
	replies []byte          // of the commands of a subscriber's turn
	request wsproto.Request // the head being judged
	decoder wsproto.Decoder // for connections that hold no part of a message
	ping    []byte
	outbox  *outbox // an empty one, for the next connection that needs one; nil: it is made
	drain   *drain  // set when the gateway stops

	judged      int // tokens, in the present turn of a connection
	inflated    int // work of inflating in the present turn of a connection, in bytes
	frames      int // … that began in it
	encoder     encoder
	ring        *reactor.Ring  // nil: deliveries go plain
	sends       []reactor.Send // the batch being sent
	sendPlaces  []int          // of each among the batch's deliveries
	inputBudget inputBudget
	headBudget  headBudget
	replyBudget replyBudget
	shaking     int             // TLS handshakes under way …
	parked      list.List       // … and of them those that wait for their clients, the first in front
	tellings    []telling       // rooms whose clients are to be told of who came and went
	offering    string          // the room that a client publishes to which is not in it, for a panic
	putOff      []reactor.Token // of connections that the kernel lacked memory for, some of them twice
	acks        acks            // of the cluster, for subscribers
	hasPut      bool            // something was handed to the cluster, and is to go out
	held        holding

	random *rand.Rand // for jitter; a simulation seeds it

	stats Stats
}

// A drain closes a loop's connections one after the other.
type drain struct {
	leavers []leaver
	start   time.Duration
	spread  time.Duration // in which each has its turn
	cutAt   time.Duration // when those that are behind are cut to the end of the frame they are in
	end     time.Duration // when those that have not taken that are cut off
	done    int           // leavers that have had their turn

	arriving []leaver      // those of them that had not asked for anything yet
	arriveBy time.Duration // when they are told to go all the same
}

// A leaver is a connection that waits for its turn.
type leaver struct {
	token reactor.Token
	stood int64 // end of what its room had published when the drain began
}

func (s *Server) newWorker(kernel reactor.Kernel) (*worker, error) {
	w := new(worker)
	cfg := s.config()
	o := reactor.Options{Kernel: kernel, SourcesMax: s.sourcesMax, KeepsProcessor: runtime.GOMAXPROCS(0) > cfg.Loops}
	if cfg.survives() {
		o.OnPanic = w.panicked
	}
	l, err := reactor.NewLoop(o)
	if err != nil {
		return nil, err
	}
	*w = worker{
		server: s, no: len(s.workers), cfg: cfg, log: s.log, kernel: l.Kernel(), loop: l,
		buf:         make([]byte, readBufferSize),
		ping:        wsproto.AppendFrame(nil, wsproto.OpPing, nil),
		inputBudget: inputBudget{limit: cfg.assemblyShare(), addresses: map[netip.Addr]*addressShare{}},
		headBudget:  headBudget{limit: cfg.headShare()},
		replyBudget: replyBudget{limit: cfg.replyShare()},
	}
	w.encoder.setTo(cfg)
	w.fan = s.hub.NewFanout(l.Wake, w)
	w.decoder = w.newDecoder()
	w.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	if cfg.Cluster != nil {
		l.BeforeSleep(func() time.Duration { w.flushPut(); return -1 }) // No hook publishes.
		l.BeforeSleep(w.takeAcks)
	}
	l.BeforeSleep(w.flush)
	l.AtEnd(w.cutAll)
	l.BeforeSleep(w.retry)
	l.BeforeSleep(w.tell)
	return w, nil
}

func (w *worker) newDecoder() wsproto.Decoder {
	return wsproto.Decoder{Limit: int(w.cfg.MaxMessage), Fragments: w.cfg.MaxFragments, Slice: w.cfg.readBudget}
}

// take has the worker go on by another config. What a connection has begun by the one before it
// finishes so: a message by its limits, a wait by its time.
func (w *worker) take(cfg *config) {
	w.cfg = cfg
	w.encoder.setTo(cfg)
	w.inputBudget.limit = cfg.assemblyShare()
	w.headBudget.limit = cfg.headShare()
	w.replyBudget.limit = cfg.replyShare()
	w.decoder = w.newDecoder() // Between two turns it holds nothing.
	w.fan.TakePolicies()
	for _, source := range w.loop.Sources {
		switch s := source.(type) {
		case *listener:
			if s.isTCP {
				cfg.setOptions(w.kernel, s.fd)
			}
		case *conn:
			s.review()
			s.reviewPresence()
		}
	}
}

// jitter is a random part of the ping interval.
func (w *worker) jitter() time.Duration {
	return time.Duration(w.random.Int64N(int64(max(1, w.cfg.PingInterval/2))))
}

// adopt makes conns of freshly accepted connections.
func (w *worker) adopt(taken []arrival) {
	for _, a := range taken {
		if c := w.newConn(a); c != nil {
			w.stats.Accepted++
			w.loop.SetTimer(c.token, w.cfg.HandshakeTimeout)
		}
	}
}

// newConn watches a new connection. If the kernel will not, the descriptor is closed and the others
// go on.
func (w *worker) newConn(a arrival) *conn {
	c := &conn{w: w, fd: int32(a.fd)}
	t, err := w.loop.Register(a.fd, reactor.Readable, reactor.Edge, c)
	if err != nil {
		if skipped, ok := w.server.samples.unwatched.Take(w.kernel.Now()); ok {
			w.log.Error("cannot watch a connection", "error", err, "and_more", skipped)
		}
		w.stats.RegisterFailed++
		w.conns.Add(-1)
		_ = w.kernel.Close(a.fd)
		w.server.leave(a.key)
		return nil
	}
	if a.key.IsValid() || a.from.IsValid() {
		c.meter = &meter{key: a.key, from: a.from}
	}
	switch {
	case a.secured != nil:
		a.secured.attach(c)
	case a.speaks.ProxyProtocol:
		c.awaitProxy(a.speaks.TLS)
	case a.speaks.TLS:
		c.secure()
	}
	c.token = t
	if w.drain != nil {
		w.drain.leavers = append(w.drain.leavers, leaver{token: t})
	}
	return c
}

// cutAll ends whoever is still there when the loop has ended, on the goroutine that it ran on:
// inflating ends where it began. Their descriptors close with the loop's.
func (w *worker) cutAll() {
	for _, source := range w.loop.Sources {
		if c, ok := source.(*conn); ok {
			r := ClosedCut
			if c.life == lingering { // It was told all.
				r = c.end.reason
			}
			c.forget(r)
		}
	}
}

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
