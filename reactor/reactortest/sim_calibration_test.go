//go:build linux

package reactortest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// A rig is a kernel with a listener on it, and clients. What its methods see goes into answers.
type rig struct {
	reactor.Kernel
	t       *testing.T
	listen  int
	epfd    int
	dial    func() far
	settle  func() // waits until what was sent has arrived
	answers []string
	open    map[int]bool
}

// far is the client's end of a connection, in system calls.
type far interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	CloseWrite() error
	Close()
	Reset()
}

// realFar is a client on the real kernel.
type realFar struct {
	fd     int
	closed bool
}

func (f *realFar) Read(p []byte) (int, error) {
	n, err := unix.Read(f.fd, p)
	return max(n, 0), err
}

func (f *realFar) Write(p []byte) (int, error) {
	n, err := unix.SendmsgN(f.fd, p, nil, nil, unix.MSG_NOSIGNAL)
	return max(n, 0), err
}

func (f *realFar) CloseWrite() error { return unix.Shutdown(f.fd, unix.SHUT_WR) }

func (f *realFar) Close() {
	if !f.closed {
		f.closed = true
		unix.Close(f.fd)
	}
}

func (f *realFar) Reset() {
	unix.SetsockoptLinger(f.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	f.Close()
}

// simulated returns a rig on a calm Sim.
func simulated(t *testing.T) *rig {
	s := reactortest.NewSim(1)
	s.SetBuffers(reactortest.Buffers{Send: 4096, PeerReceive: 4096, PeerSend: 4096, Receive: 4096})
	l, err := s.Listen(8)
	must(t, err)
	return newRig(t, s, l, func() {}, func() far {
		p, err := s.Dial(l)
		must(t, err)
		return p
	})
}

// genuine returns a rig on the real kernel, TCP over loopback; each step is given so long to
// arrive.
func genuine(t *testing.T, patience time.Duration) *rig {
	l := tcpSocket(t)
	must(t, unix.SetNonblock(l, true))
	must(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(l, 8))
	addr, err := unix.Getsockname(l)
	must(t, err)
	return newRig(t, reactorReal(t), l, func() { time.Sleep(patience) }, func() far {
		fd := tcpSocket(t)
		must(t, unix.Connect(fd, addr))
		must(t, unix.SetNonblock(fd, true))
		f := &realFar{fd: fd}
		t.Cleanup(f.Close)
		return f
	})
}

// reactorReal is the operating system as a reactor.Kernel: a scripted one without a script.
func reactorReal(*testing.T) reactor.Kernel { return reactortest.New() }

func tcpSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	// Small buffers fill soon. What they hold exactly is nobody's business here.
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10))
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10))
	return fd
}

func newRig(t *testing.T, k reactor.Kernel, listen int, settle func(), dial func() far) *rig {
	epfd, err := k.EpollCreate()
	must(t, err)
	return &rig{Kernel: k, t: t, listen: listen, epfd: epfd, dial: dial, settle: settle, open: map[int]bool{listen: true, epfd: true}}
}

func (r *rig) end() {
	for fd, isOpen := range r.open {
		if isOpen {
			_ = r.EpollCtl(r.epfd, unix.EPOLL_CTL_DEL, fd, &unix.EpollEvent{})
		}
	}
	for fd, isOpen := range r.open {
		if isOpen {
			_ = r.Kernel.Close(fd)
		}
	}
}

func (r *rig) say(format string, args ...any) {
	r.answers = append(r.answers, fmt.Sprintf(format, args...))
}

// sayCall notes a call's result: its count or its error.
func (r *rig) sayCall(what string, n int, err error) {
	if err != nil {
		var errno syscall.Errno
		errors.As(err, &errno)
		r.say("%s: %s", what, unix.ErrnoName(errno))
		return
	}
	r.say("%s: %d", what, n)
}

// pair is a connection that was accepted.
func (r *rig) pair() (fd int, c far) {
	c = r.dial()
	r.settle()
	return r.accepted(), c
}

func (r *rig) accepted() int {
	fd, err := r.Accept(r.listen)
	must(r.t, err)
	r.open[fd] = true
	return fd
}

func (r *rig) read(fd int) {
	r.settle()
	n, err := r.Kernel.Read(fd, make([]byte, 16<<10))
	r.sayCall("read", n, err)
}

func (r *rig) write(fd, n int) {
	r.settle()
	n, err := r.Kernel.Write(fd, make([]byte, n))
	r.sayCall("write", n, err)
}

// fill writes until it is refused.
func (r *rig) fill(fd int) {
	for range 10_000 {
		if _, err := r.Kernel.Write(fd, make([]byte, 4096)); err != nil {
			r.settle() // Loopback may move some of it on meanwhile.
			if _, again := r.Kernel.Write(fd, make([]byte, 4096)); again != nil {
				r.sayCall("fill", 0, again)
				return
			}
		}
	}
	r.say("fill: no end")
}

// queued says whether the kernel still has some of what was written.
func (r *rig) queued(fd int) {
	r.settle()
	n, err := r.Queued(fd)
	must(r.t, err)
	r.say("queued: %v", n > 0)
}

func (r *rig) shutdown(fd int) {
	r.settle()
	r.sayCall("shutdown", 0, r.CloseWrite(fd))
}

func (r *rig) shut(fd int) {
	r.settle()
	r.open[fd] = false
	r.sayCall("close", 0, r.Kernel.Close(fd))
}

func (r *rig) farRead(c far) {
	r.settle()
	n, err := c.Read(make([]byte, 16<<10))
	r.sayCall("client read", n, err)
}

func (r *rig) farWrite(c far, n int) {
	r.settle()
	n, err := c.Write(make([]byte, n))
	r.sayCall("client write", n, err)
}

// farDrain reads all that was sent, without saying how much.
func (r *rig) farDrain(c far) {
	for quiet := 0; quiet < 3; {
		if n, err := c.Read(make([]byte, 16<<10)); n == 0 || err != nil {
			quiet++
			r.settle()
		} else {
			quiet = 0
		}
	}
}

func (r *rig) watch(op, fd int, events uint32) {
	r.settle()
	err := r.EpollCtl(r.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	r.sayCall("epoll_ctl", 0, err)
}

func (r *rig) add(fd int, events uint32) { r.watch(unix.EPOLL_CTL_ADD, fd, events) }
func (r *rig) mod(fd int, events uint32) { r.watch(unix.EPOLL_CTL_MOD, fd, events) }
func (r *rig) del(fd int)                { r.watch(unix.EPOLL_CTL_DEL, fd, 0) }

// wait says what is reported at this moment, in no order.
func (r *rig) wait() {
	r.settle()
	events := make([]unix.EpollEvent, 8)
	n, err := r.EpollWait(r.epfd, events, 0)
	must(r.t, err)
	var all []string
	for _, ev := range events[:n] {
		all = append(all, conditions(ev.Events))
	}
	slices.Sort(all)
	r.say("wait: [%s]", strings.Join(all, ", "))
}

func conditions(bits uint32) string {
	var names []string
	for _, b := range []struct {
		bit  uint32
		name string
	}{{unix.EPOLLIN, "in"}, {unix.EPOLLOUT, "out"}, {unix.EPOLLRDHUP, "rdhup"}, {unix.EPOLLHUP, "hup"}, {unix.EPOLLERR, "err"}} {
		if bits&b.bit != 0 {
			names = append(names, b.name)
		}
	}
	return strings.Join(names, "+")
}

// The simulated kernel is worth what its answers are worth: with its faults off they are those of
// the real one. What a real step takes to arrive is not known, so a difference is looked at again
// with more patience.
func TestCalibration(t *testing.T) {
	if len(scenarios) < 40 {
		t.Fatalf("only %d scenarios", len(scenarios))
	}
	for _, sc := range scenarios {
		t.Run(strings.ReplaceAll(sc.name, " ", "_"), func(t *testing.T) {
			sim := simulated(t)
			sc.run(sim)
			sim.end()
			if err := sim.Kernel.(*reactortest.Sim).Err(); err != nil {
				t.Error(err)
			}
			if n := sim.Kernel.(*reactortest.Sim).Open(); n != 0 {
				t.Errorf("%d descriptors are left open", n)
			}
			var real *rig
			for _, patience := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
				real = genuine(t, patience)
				sc.run(real)
				real.end()
				if slices.Equal(sim.answers, real.answers) {
					return
				}
			}
			t.Errorf("the kernels differ\nsimulated:\n\t%s\nreal:\n\t%s", strings.Join(sim.answers, "\n\t"), strings.Join(real.answers, "\n\t"))
		})
	}
}
