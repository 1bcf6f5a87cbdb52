//go:build linux

package reactortest_test

import (
	"golang.org/x/sys/unix"

	"sluice/reactor"
)

const (
	in    = unix.EPOLLIN | unix.EPOLLRDHUP
	out   = unix.EPOLLOUT
	edge  = unix.EPOLLET
	once  = unix.EPOLLONESHOT
	inout = in | out
)

// scenarios are little sequences of calls whose answers both kernels must agree on.
var scenarios = []struct {
	name string
	run  func(r *rig)
}{
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
	{"level-triggered listener reports until the queue is empty", func(r *rig) {
		r.add(r.listen, in)
		r.wait()
		r.dial()
		r.dial()
		r.wait()
		r.wait()
		r.accepted()
		r.wait()
		r.accepted()
		r.wait()
	}},
	{"edge-triggered listener reports once a connection", func(r *rig) {
		r.add(r.listen, in|edge)
		r.dial()
		r.wait()
		r.wait()
		r.dial()
		r.wait()
		r.wait()
	}},
	{"listener without interest is silent", func(r *rig) {
		r.add(r.listen, in)
		r.mod(r.listen, 0)
		r.dial()
		r.wait()
		r.mod(r.listen, in)
		r.wait()
	}},
	{"add reports what holds", func(r *rig) {
		s, c := r.pair()
		r.farWrite(c, 10)
		r.add(s, in|edge)
		r.wait()
		r.wait()
	}},
	{"an edge is reported once, though bytes are left", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.wait()
		r.farWrite(c, 10)
		r.wait()
		r.wait()
		r.farWrite(c, 10)
		r.wait()
		r.wait()
		r.read(s)
		r.wait()
	}},
	{"edges merge", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.farWrite(c, 10)
		r.farWrite(c, 10)
		r.sayCall("client shutdown", 0, c.CloseWrite())
		r.wait()
		r.wait()
	}},
	{"an edge that was overrun by a read is not reported", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.farWrite(c, 10)
		r.read(s)
		r.wait()
	}},
	{"an edge is reported again after MOD", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.farWrite(c, 10)
		r.wait()
		r.wait()
		r.mod(s, in|edge)
		r.wait()
		r.wait()
	}},
	{"level reports until read", func(r *rig) {
		s, c := r.pair()
		r.add(s, in)
		r.farWrite(c, 10)
		r.wait()
		r.wait()
		r.read(s)
		r.wait()
	}},
	{"oneshot is silent until rearmed", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge|once)
		r.farWrite(c, 10)
		r.wait()
		r.farWrite(c, 10)
		r.wait()
		r.mod(s, in|edge|once)
		r.wait()
		r.sayCall("client shutdown", 0, c.CloseWrite())
		r.wait()
	}},
	{"oneshot hides a reset too", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|once)
		r.farWrite(c, 10)
		r.wait()
		c.Reset()
		r.wait()
		r.mod(s, in|once)
		r.wait()
	}},
	{"an empty socket is writable at once, and once", func(r *rig) {
		s, _ := r.pair()
		r.add(s, inout|edge)
		r.wait()
		r.wait()
	}},
	{"bytes bring the writable bit along", func(r *rig) {
		s, c := r.pair()
		r.add(s, inout|edge)
		r.wait()
		r.farWrite(c, 10)
		r.wait()
	}},
	{"a full socket drained: an edge to write", func(r *rig) {
		s, c := r.pair()
		r.add(s, inout|edge)
		r.wait()
		r.fill(s)
		r.wait()
		r.farDrain(c)
		r.wait()
		r.wait()
	}},
	{"a full socket rearmed, then drained", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.fill(s)
		r.mod(s, inout|edge)
		r.wait()
		r.farDrain(c)
		r.wait()
		r.wait()
	}},
	{"drained before it was rearmed", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.fill(s)
		r.farDrain(c)
		r.wait()
		r.mod(s, inout|edge)
		r.wait()
	}},
	{"no edge to write for a socket that refused nothing", func(r *rig) {
		s, c := r.pair()
		r.add(s, out|edge)
		r.wait()
		r.write(s, 10)
		r.farRead(c)
		r.wait()
	}},
	{"reset of a full socket", func(r *rig) {
		s, c := r.pair()
		r.add(s, inout|edge)
		r.wait()
		r.fill(s)
		c.Reset()
		r.wait()
		r.wait()
		r.write(s, 1)
		r.write(s, 1)
	}},
	{"half-close is in and rdhup", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.sayCall("client shutdown", 0, c.CloseWrite())
		r.wait()
		r.wait()
	}},
	{"both ends shut is a hangup", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.shutdown(s)
		r.wait()
		r.sayCall("client shutdown", 0, c.CloseWrite())
		r.wait()
	}},
	{"reset is everything at once", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.farWrite(c, 10)
		c.Reset()
		r.wait()
		r.wait()
		r.read(s)
		r.read(s)
	}},
	{"without interest a reset is reported all the same", func(r *rig) {
		s, c := r.pair()
		r.add(s, edge)
		r.farWrite(c, 10)
		r.wait()
		c.Reset()
		r.wait()
	}},
	{"shutdown is an edge for whoever waits to write", func(r *rig) {
		s, _ := r.pair()
		r.add(s, inout|edge)
		r.wait()
		r.shutdown(s)
		r.wait()
	}},
	{"registering twice, changing and removing what is not there", func(r *rig) {
		s, _ := r.pair()
		r.mod(s, in)
		r.del(s)
		r.add(s, in)
		r.add(s, in)
		r.del(s)
		r.del(s)
	}},
	{"a removed registration is silent", func(r *rig) {
		s, c := r.pair()
		r.add(s, in|edge)
		r.farWrite(c, 10)
		r.settle()
		r.del(s)
		r.wait()
	}},
	{"an eventfd that is never read reports each signal", func(r *rig) {
		e, err := r.Eventfd()
		must(r.t, err)
		r.open[e] = true
		r.add(e, unix.EPOLLIN|edge)
		r.wait()
		r.sayCall("signal", 0, r.Signal(e))
		r.wait()
		r.wait()
		r.sayCall("signal", 0, r.Signal(e))
		r.sayCall("signal", 0, r.Signal(e))
		r.wait()
		r.wait()
	}},
	{"two descriptors ready", func(r *rig) {
		a, c := r.pair()
		b, d := r.pair()
		r.add(a, in|edge)
		r.add(b, in)
		r.farWrite(c, 1)
		r.farWrite(d, 1)
		r.wait()
		r.wait()
	}},
}
