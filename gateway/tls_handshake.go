package gateway

import (
	"container/list"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"sluice/reactor"
	"sluice/wsproto"
)

// A handshake is one of TLS that is under way. crypto/tls cannot go on with one that would have to
// wait, so it runs on a goroutine of its own, and everything is done for there to be few of those:
//
//	parked, with no goroutine   until the ClientHello is whole: its bytes wait as a request head,
//	                            within --head-memory. Whoever connects and does not go on stays here
//	running                     --tls-handshakes-running at a time of all loops, others in line
//	parked, with a goroutine    until the client's answer has come: that takes no thread and no
//	                            place among those that run. Beyond --tls-handshakes the one that
//	                            has been for longest is closed: an honest client takes a round trip
//
// All of it is within --handshake-timeout, which is absolute and counts the request head as well.
type handshake struct {
	t    *secured
	from net.Addr      // of the client
	gone chan struct{} // closed when the connection has died
	more chan struct{} // something has come

	// The loop's.
	place  *list.Element // among those that are parked
	isGone bool

	// The goroutine's until it has ended.
	alert   byte // the last one that was sent in clear
	wrote   bool // the first flight is out
	hasSlot bool // a place among those that run

	mu      sync.Mutex
	in, out []byte
	isEnded bool // nothing more comes
}

// handshakeInputMax is how much the loop reads ahead of a handshake. A client's certificates may be
// long.
const handshakeInputMax = 64 << 10

// greet reads while there is nothing to open yet. EINTR has the caller read on.
func (t *secured) greet(p []byte) (int, error) {
	if t.hand != nil && t.hand.isFull() {
		return 0, syscall.EAGAIN // The goroutine asks for more when it has none.
	}
	n, err := t.kernel.Read(t.fd, p)
	switch {
	case n > 0 && t.hand != nil:
		t.hand.feed(p[:n])
	case n > 0:
		t.hear(p[:n])
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR), isShortage(err):
		return 0, err
	case t.hand != nil:
		t.hand.end() // What came before it may say why.
		return 0, syscall.EAGAIN
	case t.c.in == nil:
		return n, err
	default:
		t.fail(TLSGone)
	}
	if t.c.life != reading {
		return 0, syscall.EAGAIN
	}
	return 0, syscall.EINTR
}

// hear collects a ClientHello, and begins the handshake when it is whole.
func (t *secured) hear(p []byte) {
	c := t.c
	if c.in == nil {
		c.in = &inbound{}
	}
	in := c.in
	in.head = append(in.head, p...)
	in.scanned = len(in.head) // It is no request that waits for its turn.
	switch judgeHello(in.head) {
	case helloPart:
		if len(in.head) >= int(c.w.cfg.MaxHead) {
			t.fail(TLSHelloSize)
			return
		}
		c.w.headBudget.hold(c)
	case helloWhole:
		hello := in.head
		c.dropInput()
		t.start(hello)
	case helloHTTP:
		head := in.head
		t.count(TLSNotTLS)
		c.other = nil
		c.dropInput()
		c.refuse(refusedPlain, head)
	case helloNone:
		t.fail(TLSNotTLS)
	}
}

// start runs the handshake of a client whose ClientHello is whole.
func (t *secured) start(hello []byte) {
	w := t.c.w
	if w.shaking-w.parked.Len() >= w.cfg.handshakeShare() {
		t.fail(TLSCrowded) // The processors are behind, not the clients.
		return
	}
	h := &handshake{t: t, from: noAddress{}, gone: make(chan struct{}), more: make(chan struct{}, 1), in: hello}
	if from := t.c.address(); from.IsValid() {
		h.from = &net.TCPAddr{IP: from.AsSlice()}
	}
	t.hand, t.phase = h, shaking
	t.conn = tls.Server((*wire)(t), w.server.certificates.current.Load())
	w.shaking++
	w.server.loops.Go(func() { h.run(w) })
}

// run is the handshake's goroutine.
func (h *handshake) run(w *worker) {
	s := w.server
	if !h.takeSlot(s) {
		return
	}
	err := h.shake(s)
	h.leaveSlot(s)
	_ = post(s.life, w.loop, func(*reactor.Loop) { h.t.shook(h, err) }) // If not, the loop has ended, and all connections with it.
}

// errGone is what a handshake's reading ends with when the connection has died meanwhile.
var errGone = errors.New("gateway: the connection is gone")

// shake is crypto/tls' part. A panic in it ends this connection.
func (h *handshake) shake(s *Server) (err error) {
	if s.config().survives() {
		defer func() {
			if value := recover(); value != nil {
				p := reactor.RecoveredPanic(value, "")
				s.notePanic(&p, "of", "a TLS handshake")
				err = errRecord
			}
		}()
	}
	return h.t.conn.Handshake()
}

// takeSlot waits for a place among those that run, and reports whether there is anything to run
// for.
func (h *handshake) takeSlot(s *Server) bool {
	select {
	case s.handshakeSlots <- struct{}{}:
		h.hasSlot = true
	case <-h.gone:
	}
	return h.hasSlot
}

func (h *handshake) leaveSlot(s *Server) {
	if h.hasSlot {
		h.hasSlot = false
		<-s.handshakeSlots
	}
}

// read is the wire's, on the goroutine. It gives up its place while it has to wait.
func (h *handshake) read(p []byte) (n int, err error) {
	w := h.t.c.w
	for {
		h.mu.Lock()
		n = copy(p, h.in)
		h.in = h.in[n:]
		isEnded := h.isEnded
		h.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case isEnded:
			return 0, io.EOF
		}
		h.leaveSlot(w.server)
		if post(w.server.life, w.loop, func(*reactor.Loop) { h.t.lacks(h) }) != nil {
			return 0, errGone
		}
		select {
		case <-h.more:
		case <-h.gone:
			return 0, errGone
		}
		if !h.takeSlot(w.server) {
			return 0, errGone
		}
	}
}

// write is the wire's, on the goroutine. An alert that is not sealed tells why a handshake failed.
func (h *handshake) write(p []byte) (int, error) {
	const typeAlert = 21
	if len(p) == 7 && p[0] == typeAlert {
		h.alert = p[6]
	} else {
		h.wrote = true
	}
	h.mu.Lock()
	h.out = append(h.out, p...)
	h.mu.Unlock()
	return len(p), nil
}

// lacks hears that a handshake has used up what came: it is parked until there is more.
func (t *secured) lacks(h *handshake) {
	if h.isGone || t.hand != h {
		return
	}
	w := t.c.w
	t.takeFlight(h)
	if t.c.life == dead {
		return
	}
	if h.place == nil && h.isDry() {
		h.place = w.parked.PushBack(t)
		if w.parked.Len() > w.cfg.handshakeShare() {
			w.parked.Front().Value.(*secured).fail(TLSCrowded)
		}
	}
	w.loop.Requeue(t.c.token, reactor.Readable) // What was not read because there was enough.
}

// takeFlight sends what the handshake has written.
func (t *secured) takeFlight(h *handshake) {
	h.mu.Lock()
	t.out = append(t.out, h.out...)
	h.out = nil
	h.mu.Unlock()
	switch err := t.flush(); {
	case err == nil:
	case errors.Is(err, syscall.EAGAIN), isShortage(err):
		t.c.refused(err)
	default:
		t.fail(TLSGone)
	}
}

func (h *handshake) isDry() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.in) == 0 && !h.isEnded
}

func (h *handshake) isFull() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.in) >= handshakeInputMax
}

// feed gives the handshake what came.
func (h *handshake) feed(p []byte) {
	h.mu.Lock()
	h.in = append(h.in, p...)
	h.mu.Unlock()
	h.goOn()
}

// end tells the handshake that nothing more comes.
func (h *handshake) end() {
	h.mu.Lock()
	h.isEnded = true
	h.mu.Unlock()
	h.goOn()
}

func (h *handshake) goOn() {
	h.unpark()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *handshake) unpark() {
	if h.place != nil {
		h.t.c.w.parked.Remove(h.place)
		h.place = nil
	}
}

// abandon ends a handshake whose connection has died, or which has ended by itself.
func (h *handshake) abandon() {
	if h.isGone {
		return
	}
	h.isGone = true
	h.unpark()
	h.t.c.w.shaking--
	close(h.gone)
}

// shook hears how a handshake ended.
func (t *secured) shook(h *handshake, err error) {
	if h.isGone {
		return
	}
	h.abandon()
	t.hand = nil
	if t.in = h.in; len(t.in) == 0 {
		t.in = nil
	}
	t.out = append(t.out, h.out...)
	if err != nil {
		lacksCertificate := h.wrote && t.c.w.server.certificates.asksClients() // Behind our first flight it is nearly always that.
		t.fail(failureOf(err, h.alert, lacksCertificate))
		return
	}
	c := t.c
	t.phase = sealed
	state := t.conn.ConnectionState()
	c.w.stats.TLS.Handshakes++
	if state.DidResume {
		c.w.stats.TLS.Resumed++
	}
	if err := t.flush(); err != nil {
		c.refused(err)
	}
	if c.life != dead {
		c.w.loop.Requeue(c.token, reactor.Readable)
	}
}

// fail ends a connection that does not come to speak TLS with us. Whoever is there to read it gets
// an alert.
func (t *secured) fail(why TLSFailure) {
	c := t.c
	t.count(why)
	if t.hand != nil { // Its goroutine may still look at it.
		t.hand.abandon()
	}
	t.phase = broken
	if why.isSilent() {
		c.die(ClosedTLS)
		return
	}
	c.dropInput()
	c.beginEnd(ClosedTLS, 0, "")
	c.part()
}

// endGreeting implements greeted.
func (t *secured) endGreeting(r *wsproto.Refusal) bool {
	if t.phase >= sealed {
		return false
	}
	switch c := t.c; r.Reason {
	case wsproto.ReasonTimeout:
		t.fail(TLSTimeout)
	case wsproto.ReasonHeads:
		t.fail(TLSCrowded)
	case wsproto.ReasonUnavailable:
		t.fail(TLSCut)
	default: // A limit, for the client that a PROXY header has named.
		c.w.stats.Refusals[r.Reason]++
		c.w.logRefusal(int(c.fd), c, r, nil)
		c.die(ClosedRefused)
	}
	return true
}
