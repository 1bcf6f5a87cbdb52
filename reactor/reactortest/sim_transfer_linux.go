package reactortest

import (
	"hash/crc32"
	"syscall"

	"golang.org/x/sys/unix"
)

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
