package reactortest

import (
	"hash/crc32"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A link is one TCP connection: two sockets, and a flow each way.
type link struct {
	no     int
	server *socket // the side that accepts it
	client *socket
	// doomed says that a fault struck which may end the connection.
	doomed bool
	// lackedIn and lackedOut are how often in a row there was no memory for the server to read, and
	// to write or be watched.
	lackedIn, lackedOut int
	// readAt and wroteAt are when the server last took and gave bytes, ackedAt when it last learned
	// that some had arrived.
	readAt, wroteAt, ackedAt time.Duration
}

// A socket is one end of a link. Its fields follow Linux's struct sock where a rule depends on
// them.
type socket struct {
	sim     *Sim
	link    *link
	out, in *flow
	watched []*watch

	err        syscall.Errno // pending, taken by the next call
	sendShut   bool          // we said that we send no more, or a reset said it for us
	recvShut   bool          // the peer's end of stream has arrived, or a reset
	sawEnd     bool          // the peer's end of stream has arrived
	isReset    bool          // or both streams have ended: TCP_CLOSE
	isReleased bool          // the process has closed it
	wantsRoom  bool          // a write was refused or poll asked: SOCK_NOSPACE
	aborts     bool          // SO_LINGER with zero seconds
	isSending  bool          // a ring's send to it has begun and not ended
}

// A flow is one direction of a link.
type flow struct {
	from, to  *socket
	unsent    []byte // in the sender's kernel
	unacked   int    // have arrived, and the sender has not learned of it: still in its buffer
	arrived   []byte // in the receiver's, unread
	unsentMax int    // TCP_NOTSENT_LOWAT; zero: none
	sendMax   int
	recvMax   int
	hasEnd    bool // the end of the stream stands behind unsent
	hasReset  bool // a reset is under way, instead of everything behind it
	squeezed  bool // room in the sender's kernel is short for a while
	allowance int  // what it still takes meanwhile
}

func (s *Sim) newLink() *link {
	s.linkNo++
	l := &link{no: s.linkNo}
	l.server, l.client = &socket{sim: s, link: l}, &socket{sim: s, link: l}
	down := &flow{from: l.server, to: l.client, sendMax: s.buffers.Send, recvMax: s.buffers.PeerReceive, unsentMax: s.buffers.Unsent}
	up := &flow{from: l.client, to: l.server, sendMax: s.buffers.PeerSend, recvMax: s.buffers.Receive}
	l.server.out, l.server.in, l.client.out, l.client.in = down, up, up, down
	s.links = append(s.links, l)
	return l
}

func (c *socket) watchers() *[]*watch { return &c.watched }

// poll is tcp_poll.
func (c *socket) poll() uint32 {
	var mask uint32
	if c.isReset || c.sendShut && c.recvShut {
		mask |= unix.EPOLLHUP
	}
	if c.recvShut {
		mask |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if len(c.in.arrived) > 0 {
		mask |= unix.EPOLLIN
	}
	if c.isWritable() {
		mask |= unix.EPOLLOUT
	} else {
		c.wantsRoom = true
	}
	if c.err != 0 {
		mask |= unix.EPOLLERR
	}
	return mask
}

func (c *socket) isReadable() bool { return len(c.in.arrived) > 0 || c.recvShut || c.err != 0 }

// isWritable has the kernel's hysteresis, sk_stream_is_writeable: a third of the buffer must be
// free, though a write takes the last byte, and half of what may be unsent.
func (c *socket) isWritable() bool {
	f := c.out
	return c.sendShut || !f.squeezed && 3*f.queued() <= 2*f.sendMax && (f.unsentMax == 0 || 2*len(f.unsent) < f.unsentMax)
}

// queued is what SIOCOUTQ says: what was written and is not acknowledged. What has arrived and is
// unread is acknowledged, sooner or later.
func (f *flow) queued() int { return len(f.unsent) + f.unacked }

func (c *socket) takeError() syscall.Errno {
	err := c.err
	c.err = 0
	return err
}

func (c *socket) wake(key uint32) {
	for _, w := range c.watched {
		w.wake(key)
	}
}

// write is tcp_sendmsg on a non-blocking socket.
func (c *socket) write(p []byte) (int, error) {
	if c.err != 0 {
		return 0, c.takeError()
	}
	if c.sendShut {
		return 0, syscall.EPIPE
	}
	room := c.out.sendMax - c.out.queued()
	if c.out.unsentMax > 0 {
		room = min(room, max(0, c.out.unsentMax-len(c.out.unsent)))
	}
	if c.out.squeezed {
		room = min(room, c.out.allowance)
	}
	n := min(len(p), room)
	if n < len(p) {
		c.wantsRoom = true
	}
	if n == 0 && len(p) > 0 {
		return 0, syscall.EAGAIN
	}
	c.out.unsent = append(c.out.unsent, p[:n]...)
	c.out.allowance -= n
	return n, nil
}

// read is tcp_recvmsg: bytes first, then the end of the stream, then an error, once.
func (c *socket) read(p []byte) (int, error) {
	switch {
	case len(c.in.arrived) > 0:
		n := copy(p, c.in.arrived)
		c.in.arrived = c.in.arrived[n:]
		return n, nil
	case c.sawEnd:
		return 0, nil
	case c.err != 0:
		return 0, c.takeError()
	case c.recvShut:
		return 0, nil
	}
	return 0, syscall.EAGAIN
}

// shutdown is inet_shutdown with SHUT_WR.
func (c *socket) shutdown() error {
	if c.isReset {
		return syscall.ENOTCONN
	}
	if !c.sendShut {
		c.sendShut, c.out.hasEnd = true, true
	}
	c.wake(0)
	return nil
}

// release is close(2): with unread bytes, or by SO_LINGER, it resets the connection, and drops what
// has not arrived.
func (c *socket) release() {
	c.isReleased = true
	if c.aborts || len(c.in.arrived) > 0 {
		c.sendReset()
	} else if !c.isReset {
		c.sendShut, c.out.hasEnd = true, true
	}
	c.in.arrived = nil
	c.sim.forgetFinished()
}

func (c *socket) sendReset() {
	if !c.isReset {
		c.out.unsent, c.out.unacked, c.out.hasEnd, c.out.hasReset, c.isReset = nil, 0, false, true, true
	}
}

// gotReset is tcp_reset. What has arrived can still be read.
func (c *socket) gotReset() {
	if c.isReset {
		return
	}
	c.err = syscall.ECONNRESET
	if c.sawEnd && !c.sendShut {
		c.err = syscall.EPIPE // CLOSE_WAIT
	}
	c.out.unsent, c.out.unacked, c.out.hasEnd = nil, 0, false
	c.isReset, c.sendShut, c.recvShut = true, true, true
	c.wake(unix.EPOLLERR)
	c.wake(0)
}

// roomCame is sk_stream_write_space: an edge, but only for a socket that was refused or has asked.
func (c *socket) roomCame() {
	if c.wantsRoom && c.isWritable() {
		c.wantsRoom = false
		c.wake(unix.EPOLLOUT)
	}
}

// movable is how many bytes can move on.
func (f *flow) movable() int {
	if f.to.isReleased && f.to.isReset {
		return 0 // A reset is on its way against them.
	}
	if f.to.isReleased {
		return len(f.unsent)
	}
	return min(len(f.unsent), f.recvMax-len(f.arrived))
}

// hasNews reports whether something of f is under way.
func (f *flow) hasNews() bool {
	return f.squeezed || f.hasReset || f.movable() > 0 || f.unacked > 0 || f.endIsDue()
}

func (f *flow) endIsDue() bool {
	return f.hasEnd && len(f.unsent) == 0 && !f.to.sawEnd && !f.to.isReset
}

// move lets n bytes arrive; or, with nothing else under way, what stands behind the bytes; or the
// word that some have arrived.
func (f *flow) move(n int) {
	switch {
	case f.hasReset:
		f.hasReset = false
		f.to.gotReset()
	case n > 0 && f.to.isReleased:
		f.to.sendReset() // Sending to a closed socket brings a reset: RFC 1122 §4.2.2.13.
	case n > 0:
		f.arrived = append(f.arrived, f.unsent[:n]...)
		f.unsent = f.unsent[n:]
		f.unacked += n
		f.to.wake(unix.EPOLLIN)
		f.from.roomCame()
	case f.endIsDue():
		f.endArrives()
	case f.unacked > 0:
		f.acknowledge(f.unacked)
	}
}

// acknowledge tells the sender that n bytes have arrived, which makes room in its buffer.
func (f *flow) acknowledge(n int) {
	f.unacked -= n
	if f.from == f.from.link.server {
		f.from.link.ackedAt = f.from.sim.now
	}
	f.from.roomCame()
}

// endArrives is tcp_fin. When both streams have ended the connection is over.
func (f *flow) endArrives() {
	f.to.sawEnd, f.to.recvShut = true, true
	if f.from.sawEnd {
		f.from.isReset, f.to.isReset = true, true
	}
	f.to.wake(0)
	f.from.sim.forgetFinished()
}

func (f *flow) relieve() {
	f.squeezed = false
	f.from.roomCame()
}

// Step lets one thing happen on one of the wires: some bytes arrive, or an end, or a reset, or room
// in a buffer that had shrunk comes back, or a ring's late send ends. False means that nothing was under
// way.
func (s *Sim) Step() bool {
	if len(s.late) > 0 && s.random.IntN(4) == 0 {
		s.endLate()
		return true
	}
	busy := s.busy[:0]
	for _, l := range s.links {
		for _, f := range [...]*flow{l.server.out, l.client.out} {
			if f.hasNews() {
				busy = append(busy, f)
			}
		}
	}
	s.busy = busy
	if len(busy) == 0 {
		return false
	}
	f := busy[s.random.IntN(len(busy))]
	if f.squeezed && (s.random.IntN(2) == 0 || !f.hasReset && f.movable() == 0 && !f.hasEnd) {
		s.note("relief", f.from.link.no, 0)
		f.relieve()
		return true
	}
	if f.unacked > 0 && !f.hasReset && (s.random.IntN(2) == 0 || f.movable() == 0) {
		n := 1 + s.random.IntN(f.unacked)
		s.note("acknowledged", f.from.link.no, n)
		f.acknowledge(n)
		return true
	}
	n := f.movable()
	if n > 1 && s.random.IntN(2) == 0 {
		n = 1 + s.random.IntN(n)
	}
	s.note(arrives[f.from == f.from.link.server], f.from.link.no, n)
	f.move(n)
	return true
}

var arrives = map[bool]string{true: "to client", false: "to server"}

// settle lets everything that is under way on l arrive, if the kernel is calm.
func (s *Sim) settle(l *link) {
	for moved := s.isCalm; moved; {
		moved = false
		for _, f := range [...]*flow{l.server.out, l.client.out} {
			if f.squeezed {
				f.relieve()
			}
			if f.hasNews() {
				f.move(f.movable())
				moved = true
			}
		}
	}
}

// forgetFinished drops the links that nobody holds any more and on which nothing is under way that
// anybody could see.
func (s *Sim) forgetFinished() {
	s.links = slices.DeleteFunc(s.links, func(l *link) bool { return l.server.isReleased && l.client.isReleased })
}

// Read implements reactor.Kernel.
func (s *Sim) Read(fd int, p []byte) (int, error) {
	s.begin()
	n, err := s.read(fd, p)
	s.done("read", fd, len(p), n, err)
	s.finish(fd)
	return n, err
}

func (s *Sim) read(fd int, p []byte) (int, error) {
	c, err := s.socketAt("read", fd)
	if err != nil {
		return 0, err
	}
	if err := s.transferFault(c, &c.link.lackedIn); err != nil {
		return 0, err
	}
	asked := len(p)
	if n := min(len(p), len(c.in.arrived)); n > 1 && s.roll(s.faults.ShortRead) {
		p = p[:1+s.random.IntN(n)]
	}
	n, err := c.read(p)
	if n > 0 && n < asked && len(c.in.arrived) > 0 {
		c.wake(unix.EPOLLIN) // It has taken all there was: the rest has come only now.
	}
	if n > 0 {
		c.link.readAt, c.link.lackedIn = s.now, 0
	}
	return n, err
}

// Write implements reactor.Kernel.
func (s *Sim) Write(fd int, p []byte) (int, error) {
	s.begin()
	n, err := s.write(fd, p)
	s.trace.mix(uint64(crc32.ChecksumIEEE(p[:n])))
	s.done("write", fd, len(p), n, err)
	s.finish(fd)
	return n, err
}

func (s *Sim) write(fd int, p []byte) (int, error) {
	c, err := s.socketAt("write", fd)
	if err != nil {
		return 0, err
	}
	if c.isSending {
		s.violation("a write to connection %d beside a send that has not ended", c.link.no)
	}
	if err := s.transferFault(c, &c.link.lackedOut); err != nil {
		return 0, err
	}
	if !c.out.squeezed && !c.sendShut && len(p) > 0 && s.roll(s.faults.Squeeze) {
		c.out.squeezed, c.out.allowance = true, s.random.IntN(len(p))
		if s.random.IntN(3) == 0 {
			c.out.allowance = 0
		}
	}
	if len(p) > 1 && s.roll(s.faults.ShortWrite) {
		p = p[:1+s.random.IntN(len(p))]
	}
	n, err := c.write(p)
	if n > 0 {
		c.link.wroteAt, c.link.lackedOut = s.now, 0
	}
	return n, err
}

// Queued implements reactor.Kernel.
func (s *Sim) Queued(fd int) (int, error) {
	c, err := s.socketAt("siocoutq", fd)
	if err != nil {
		return 0, err
	}
	return c.out.queued(), s.done("siocoutq", fd, 0, c.out.queued(), nil)
}

// lacksMax is how often in a row a connection has to bear with a kernel that has no memory for it.
const lacksMax = 3

// lack notes that there was no memory for a connection, one time more of a kind.
func (l *link) lack(times *int) {
	*times++
	l.doomed = l.doomed || *times > lacksMax
}

// transferFault is what may befall a read or write of c.
func (s *Sim) transferFault(c *socket, lacked *int) error {
	if s.roll(s.faults.Interrupt) {
		return syscall.EINTR
	}
	if s.roll(s.faults.NoMemory) {
		c.link.lack(lacked)
		return []error{syscall.ENOMEM, syscall.ENOBUFS}[s.random.IntN(2)]
	}
	return nil
}

// CloseWrite implements reactor.Kernel.
func (s *Sim) CloseWrite(fd int) error {
	s.begin()
	c, err := s.socketAt("shutdown", fd)
	if err == nil {
		err = c.shutdown()
	}
	s.done("shutdown", fd, 0, 0, err)
	s.finish(fd)
	return err
}
