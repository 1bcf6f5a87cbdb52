package gateway

import (
	"fmt"
	"runtime/debug"

	"sluice/reactor"
)

// A panic is a fault of the gateway's own. What it ends is what it may have left in doubt:
//
//	where it came from                                what ends
//	one connection's input: head, frames, inflating,  that connection, with 1011
//	its message's encoding, timers, its outbox
//	a listener                                        nothing: it accepts again after a moment
//	a request that net/http handles                   that request
//	a message's encoding, in Server.Publish           that call, with ErrFault
//	a room: its log, members, branches, a sweep       all connections in the room, with 1011;
//	                                                  the next client gets a new room
//	a loop's poller, slab, timers, mailbox, hooks;    the process, as all do by Options.ExitOnPanic
//	the directory of rooms, the backlog of all
//	rooms, what connections share of limits
//
// It is told from the functions that the panic passed. Go's runtime ends the process by itself
// where it cannot go on: out of memory, a stack too deep, a map written by two, a deadlock.
type extent uint8

const (
	ofConnection extent = iota
	ofRoom
	ofProcess
)

// extents are judged in this order. A panic that passed none of them is its connection's.
var extents = []struct {
	passed string
	extent extent
}{
	{"sluice/reactor", ofProcess},
	{"sluice/hub.(*backlog)", ofProcess},
	{"sluice/hub.(*roomHeap)", ofProcess},
	{"sluice/hub.roomHeap", ofProcess},
	{"sluice/hub.(*Hub)", ofProcess},
	{"sluice/gateway.(*inputBudget)", ofProcess},
	{"sluice/gateway.(*conn).countInput", ofProcess}, // Others are closed in it.
	{"sluice/gateway.(*headBudget)", ofProcess},
	{"sluice/gateway.(*replyBudget)", ofProcess},
	{"sluice/gateway.outboxHeap", ofProcess},
	{"sluice/gateway.(*outboxHeap)", ofProcess},
	{"sluice/gateway.(*admission)", ofProcess},
	{"sluice/hub.(*Room).append", ofRoom},
	{"sluice/hub.(*draft)", ofConnection}, // A message's encoding, before it comes to the room.
	{"sluice/hub", ofRoom},
}

func extentOf(p *reactor.Panic) extent {
	for _, e := range extents {
		if p.Passed(e.passed) {
			return e.extent
		}
	}
	return ofConnection
}

// survives reports whether a panic ends what it left in doubt, and not the process.
func (c *config) survives() bool { return !c.ExitOnPanic && !c.panics }

// notePanic counts a panic and logs it, with the stack that it came from, at most once a second.
func (s *Server) notePanic(p *reactor.Panic, whose ...any) {
	s.panics.Add(1)
	if skipped, ok := s.samples.panicked.Take(s.workers[0].kernel.Now()); ok {
		s.log.Error("a panic, which is a fault of the gateway: please report it", append(whose,
			"panic", fmt.Sprint(p.Value), "and_more", skipped, "stack", string(debug.Stack()))...)
	}
}

// spoil ends the room of this name, which a publisher that is not in it has left in doubt.
func (s *Server) spoil(room string) {
	if r, _ := s.hub.Find(room); r != nil {
		r.Spoil()
	}
}

// endInDoubt ends what a panic outside of loops has left in doubt.
func (s *Server) endInDoubt(room string, extent extent, value any) {
	if s.config().ExitOnPanic {
		extent = ofProcess
	}
	switch extent {
	case ofRoom:
		s.spoil(room)
	case ofProcess:
		select { // Whoever called may recover it: Serve ends with it.
		case s.failed <- fmt.Errorf("panic while publishing: %v", value):
		default:
		}
	}
}
