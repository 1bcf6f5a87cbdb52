//go:build linux

package reactortest_test

import "golang.org/x/sys/unix"

const (
	in    = unix.EPOLLIN | unix.EPOLLRDHUP
	out   = unix.EPOLLOUT
	edge  = unix.EPOLLET
	once  = unix.EPOLLONESHOT
	inout = in | out
)

// readinessScenarios are of what epoll reports of sockets, and when.
var readinessScenarios = []scenario{
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
