//go:build linux

package reactortest_test

import (
	"slices"

	"sluice/reactor"
)

// A scenario is a little sequence of calls whose answers both kernels must agree on.
type scenario struct {
	name string
	run  func(r *rig)
}

var scenarios = slices.Concat(socketScenarios, readinessScenarios)

// socketScenarios are of what calls on sockets return.
var socketScenarios = []scenario{
	{"bytes arrive and are read", func(r *rig) {
		s, c := r.pair()
		r.read(s)
		r.farWrite(c, 10)
		r.read(s)
		r.read(s)
		r.write(s, 20)
		r.farRead(c)
		r.farRead(c)
	}},
	{"what has arrived is not queued any more, read or not", func(r *rig) {
		s, c := r.pair()
		r.queued(s)
		r.write(s, 100)
		r.queued(s)
		r.fill(s)
		r.queued(s)
		r.farDrain(c)
		r.queued(s)
	}},
	{"peer closes after its bytes were read", func(r *rig) {
		s, c := r.pair()
		r.farWrite(c, 10)
		r.read(s)
		r.settle()
		c.Close()
		r.read(s)
		r.read(s)
	}},
	{"peer closes behind its bytes", func(r *rig) {
		s, c := r.pair()
		r.farWrite(c, 10)
		c.Close()
		r.read(s)
		r.read(s)
	}},
	{"peer closes with bytes unread", func(r *rig) {
		s, c := r.pair()
		r.write(s, 10)
		r.settle()
		c.Close()
		r.read(s)
		r.read(s)
		r.write(s, 5)
	}},
	{"peer closes with bytes unread, then a write", func(r *rig) {
		s, c := r.pair()
		r.write(s, 10)
		r.settle()
		c.Close()
		r.write(s, 5)
		r.write(s, 5)
		r.read(s)
	}},
	{"reset with bytes pending", func(r *rig) {
		s, c := r.pair()
		r.farWrite(c, 10)
		r.settle()
		c.Reset()
		r.read(s)
		r.read(s)
		r.read(s)
	}},
	{"reset without bytes", func(r *rig) {
		s, c := r.pair()
		c.Reset()
		r.read(s)
		r.read(s)
		r.write(s, 5)
	}},
	{"write after a reset", func(r *rig) {
		s, c := r.pair()
		c.Reset()
		r.write(s, 5)
		r.write(s, 5)
		r.read(s)
	}},
	{"shutdown after a reset", func(r *rig) {
		s, c := r.pair()
		c.Reset()
		r.shutdown(s)
	}},
	{"write to a peer that has closed", func(r *rig) {
		s, c := r.pair()
		c.Close()
		r.write(s, 5)
		r.write(s, 5)
		r.read(s)
	}},
	{"half-close: the peer still reads", func(r *rig) {
		s, c := r.pair()
		r.farWrite(c, 10)
		r.sayCall("client shutdown", 0, c.CloseWrite())
		r.read(s)
		r.read(s)
		r.write(s, 7)
		r.farRead(c)
		r.farRead(c)
	}},
	{"shutdown, then the peer reads the end", func(r *rig) {
		s, c := r.pair()
		r.write(s, 7)
		r.shutdown(s)
		r.farRead(c)
		r.farRead(c)
		r.farWrite(c, 3)
		r.read(s)
	}},
	{"write after shutdown", func(r *rig) {
		s, _ := r.pair()
		r.shutdown(s)
		r.write(s, 5)
		r.shutdown(s)
	}},
	{"shutdown on both sides", func(r *rig) {
		s, c := r.pair()
		r.shutdown(s)
		r.sayCall("client shutdown", 0, c.CloseWrite())
		r.read(s)
		r.farRead(c)
		r.shutdown(s)
	}},
	{"peer sends behind our close", func(r *rig) {
		s, c := r.pair()
		r.shut(s)
		r.farRead(c)
		r.farWrite(c, 10)
		r.farRead(c)
		r.farWrite(c, 10)
	}},
	{"close with unread input resets the peer", func(r *rig) {
		s, c := r.pair()
		r.farWrite(c, 10)
		r.shut(s)
		r.farRead(c)
		r.farRead(c)
	}},
	{"close with unread input spares what had arrived", func(r *rig) {
		s, c := r.pair()
		r.write(s, 20)
		r.farWrite(c, 10)
		r.shut(s)
		r.farRead(c)
		r.farRead(c)
	}},
	{"closing with no linger resets the peer", func(r *rig) {
		s, c := r.pair()
		r.write(s, 20)
		r.sayCall("linger", 0, r.SetOption(s, reactor.AbortOnClose, 1))
		r.shut(s)
		r.farRead(c)
		r.farRead(c)
	}},
	{"pending error is taken once", func(r *rig) {
		s, c := r.pair()
		c.Reset()
		r.settle()
		n, err := r.Option(s, reactor.PendingError)
		r.sayCall("SO_ERROR", n, err)
		n, err = r.Option(s, reactor.PendingError)
		r.sayCall("SO_ERROR", n, err)
		r.read(s)
	}},
	{"a full socket refuses, and takes again when drained", func(r *rig) {
		s, c := r.pair()
		r.fill(s)
		r.write(s, 1)
		r.farDrain(c)
		r.write(s, 1)
	}},
	{"nobody to accept", func(r *rig) {
		n, err := r.Accept(r.listen)
		r.sayCall("accept", n, err)
	}},
	{"accept after the peer's reset", func(r *rig) {
		c := r.dial()
		c.Reset()
		r.settle()
		s := r.accepted()
		r.read(s)
		r.read(s)
	}},
	{"accept after the peer's close", func(r *rig) {
		c := r.dial()
		r.farWrite(c, 4)
		c.Close()
		r.settle()
		s := r.accepted()
		r.read(s)
		r.read(s)
	}},
	{"bytes sent before accept", func(r *rig) {
		c := r.dial()
		r.farWrite(c, 4)
		s := r.accepted()
		r.read(s)
	}},
	{"numbers come back at once, lowest first", func(r *rig) {
		for range 4 {
			r.dial()
		}
		r.settle()
		a, b := r.accepted(), r.accepted()
		r.shut(b)
		r.shut(a)
		c, d := r.accepted(), r.accepted()
		r.say("%v %v", c == min(a, b), d == max(a, b))
	}},
}
