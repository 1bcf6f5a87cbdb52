package gateway

import (
	"container/list"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

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

	subscribed atomic.Int64 // subscriptions that are here

	buf     []byte          // what was read last
	header  []byte          // a frame header or a control frame being made
	replies []byte          // of the commands of a subscriber's turn
	request wsproto.Request // the head being judged
	decoder wsproto.Decoder // for connections that hold no part of a message
	ping    []byte
	outbox  *outbox // an empty one, for the next connection that needs one; nil: it is made
	drain   *drain  // set when the gateway stops

	judged      int           // tokens, in the present turn of a connection
	told        int           // bytes of histories that were looked at in it
	inflated    int           // work of inflating in the present turn of a connection, in bytes
	frames      int           // … that began in it
	taken       int           // bytes that were read in it, or of a message that it published
	isBrief     bool          // it may do nothing that takes long, see brief.go …
	spent       time.Duration // … because those of this tick that did have taken so much
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
	reviewed    reactor.Token   // of the last source that has followed the config
	putOff      []reactor.Token // of connections that the kernel lacked memory for, some of them twice
	acks        acks            // of the cluster, for subscribers
	hasPut      bool            // something was handed to the cluster, and is to go out
	held        holding

	random *rand.Rand // for jitter; a simulation seeds it

	stats Stats
}

func (w *worker) newDecoder() wsproto.Decoder {
	return wsproto.Decoder{Limit: int(w.cfg.MaxMessage), Fragments: w.cfg.MaxFragments, Slice: w.cfg.readBudget}
}

// jitter is a random part of the ping interval.
func (w *worker) jitter() time.Duration {
	return time.Duration(w.random.Int64N(int64(max(1, w.cfg.PingInterval/2))))
}

// onEachLoop runs a task on every loop, and returns when all have.
func (s *Server) onEachLoop(ctx context.Context, task func(w *worker)) error {
	done := make(chan struct{}, len(s.workers))
	for _, w := range s.workers {
		if err := post(ctx, w.loop, func(*reactor.Loop) { task(w); done <- struct{}{} }); err != nil {
			return err
		}
	}
	for range s.workers {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// post insists while a loop's mailbox is full.
func post(ctx context.Context, l *reactor.Loop, task func(*reactor.Loop)) error {
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for !l.Post(task) {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
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
