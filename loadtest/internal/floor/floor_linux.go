// Package floor serves the physical floor: what a broadcast costs when nothing is done but to read
// the message and to write its frame to each client of the room. There is no limit, no ping, no
// fragmented message. A room is who asked for the same target. What the kernel does not take of a
// large frame at once waits for a client; one that is some frames behind is cut off, because
// anything else would be a feature.
package floor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/loadtest/internal/limits"
	"sluice/wsproto"
)

// floor is all of its state. One thread owns it.
type floor struct {
	epfd, listener int
	wake           int                // an eventfd that ends it
	rooms          map[string]*room   // by the target of the request
	place          map[int32]place    // of the joined clients
	partial        map[int32][]byte   // what a client sent of an unfinished head or frame
	behind         map[int32][][]byte // what clients have yet to get
	buf            []byte
	frame          []byte
}

// A room is everybody whose request had the same target.
type room struct {
	fds []int32
}

// place is where a client stands: in which room, and where in its fds.
type place struct {
	room *room
	at   int
}

// Serve listens at addr, which is host:port, says so on log, and serves until ctx ends; then it
// returns nil. It takes a thread for itself, which does not sleep longer than 10 ms.
func Serve(ctx context.Context, addr string, log io.Writer) error {
	limits.Raise(1)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	f := &floor{
		rooms: make(map[string]*room), place: make(map[int32]place),
		partial: make(map[int32][]byte), behind: make(map[int32][][]byte), buf: make([]byte, 64<<10),
	}
	if f.listener, err = listenerFD(l.(*net.TCPListener)); err != nil {
		return err
	}
	if f.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer f.close()
	if f.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if err := errors.Join(f.watch(f.listener), f.watch(f.wake)); err != nil {
		return err
	}
	forget := context.AfterFunc(ctx, func() { _, _ = unix.Write(f.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	defer forget()
	fmt.Fprintf(log, "the floor listens on %v\n", l.Addr())
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f.run()
}

func listenerFD(l *net.TCPListener) (fd int, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = raw.Control(func(p uintptr) { fd = int(p) })
	if err == nil {
		// Accepted sockets inherit it.
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return fd, err
}

func (f *floor) watch(fd int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epfd, unix.EPOLL_CTL_ADD, fd, &ev))
}

// waitMillis bounds a wait of which Go's scheduler is not told: a collection may have to wait for
// this thread that long.
const waitMillis = 10

// run waits without telling the scheduler: told, it gives the processor to other threads and has to
// take it back.
func (f *floor) run() error {
	events := make([]unix.EpollEvent, 512)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(f.epfd), uintptr(unsafe.Pointer(&events[0])),
			uintptr(len(events)), waitMillis, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return os.NewSyscallError("epoll_wait", errno)
		}
		if errno != 0 || n == 0 {
			runtime.Gosched() // Let a collection stop this thread.
			continue
		}
		for i := range events[:n] {
			switch fd := events[i].Fd; int(fd) {
			case f.wake:
				return nil
			case f.listener:
				f.accept()
			default:
				if events[i].Events&unix.EPOLLOUT != 0 {
					f.goOn(fd)
				}
				if events[i].Events&^unix.EPOLLOUT != 0 {
					f.read(fd)
				}
			}
		}
	}
}

func (f *floor) close() {
	for fd := range f.place {
		unix.Close(int(fd))
	}
	unix.Close(f.wake)
	unix.Close(f.epfd)
}

func (f *floor) accept() {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(f.listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno != 0 || f.watch(int(fd)) != nil {
			return // Nobody is left, or descriptors are.
		}
	}
}

func (f *floor) read(fd int32) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&f.buf[0])), uintptr(len(f.buf)))
	if errno != 0 {
		if !errors.Is(errno, syscall.EAGAIN) {
			f.drop(fd)
		}
		return
	}
	if n == 0 {
		f.drop(fd)
		return
	}
	p := f.buf[:n]
	held := f.partial[fd]
	if held != nil {
		p = append(held, p...)
		delete(f.partial, fd)
	}
	if f.place[fd].room == nil {
		p = f.upgrade(fd, p)
	}
	for len(p) > 0 {
		room := f.place[fd].room
		if room == nil {
			break // Not yet, or not any more.
		}
		size := f.message(room, fd, p)
		if size == 0 {
			break
		}
		p = p[size:]
	}
	if len(p) > 0 && held == nil {
		p = append([]byte(nil), p...)
	}
	if len(p) > 0 {
		f.partial[fd] = p
	}
}

// upgrade answers a request with 101 and returns what came behind it.
func (f *floor) upgrade(fd int32, p []byte) (rest []byte) {
	end := wsproto.HeadEnd(p, 0)
	if end == 0 {
		return p
	}
	var r wsproto.Request
	if r.Parse(p[:end]) != nil || r.CheckUpgrade() != nil {
		f.drop(fd)
		return nil
	}
	f.frame = wsproto.AppendSwitchingProtocols(f.frame[:0], r.Key, "", "")
	if f.write(fd) {
		f.join(string(r.Target), fd)
	}
	return p[end:]
}

func (f *floor) join(target string, fd int32) {
	r := f.rooms[target]
	if r == nil {
		r = &room{}
		f.rooms[target] = r // For good: who measures comes back to the same ones.
	}
	f.place[fd] = place{room: r, at: len(r.fds)}
	r.fds = append(r.fds, fd)
}

// message fans out the frame that p begins with and returns its length; zero when it is not whole.
func (f *floor) message(to *room, from int32, p []byte) int {
	size, at := 2, 2
	if len(p) < size {
		return 0
	}
	length := int(p[1] & 0x7f)
	switch length {
	case 126:
		if at = 4; len(p) < at {
			return 0
		}
		length = int(p[2])<<8 | int(p[3])
	case 127:
		if at = 10; len(p) < at {
			return 0
		}
		// What is measured against the floor sends less than 4 GiB.
		length = int(p[6])<<24 | int(p[7])<<16 | int(p[8])<<8 | int(p[9])
	}
	size = at + 4 + length
	if len(p) < size {
		return 0
	}
	if op := wsproto.Opcode(p[0] & 0xf); op == wsproto.OpClose {
		f.drop(from)
		return size
	} else if op.IsControl() {
		return size
	}
	f.frame = append(f.frame[:0], p[0], p[1]&0x7f)
	f.frame = append(f.frame, p[2:at]...)
	start, mask := len(f.frame), p[at:at+4]
	f.frame = append(f.frame, p[at+4:size]...)
	ws.Cipher(f.frame[start:], [4]byte(mask), 0)
	// Go's heap does not move, and KeepAlive holds the frame: the address may be taken once.
	p0, n := uintptr(unsafe.Pointer(&f.frame[0])), uintptr(len(f.frame))
	for i := 0; i < len(to.fds); i++ {
		fd := to.fds[i]
		if len(f.behind) > 0 && f.behind[fd] != nil {
			f.fallBehind(fd, f.frame)
		} else if wrote, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), p0, n); errno == 0 && wrote < n {
			f.fallBehind(fd, f.frame[wrote:])
		} else if errno == unix.EAGAIN {
			f.fallBehind(fd, f.frame)
		} else if errno != 0 {
			f.drop(fd)
		}
		if i < len(to.fds) && to.fds[i] != fd {
			i-- // It was dropped, and the last one stands here now.
		}
	}
	runtime.KeepAlive(f.frame)
	if len(f.behind) > 0 {
		f.frame = nil // Somebody waits for it.
	}
	return size
}

// write sends the ready frame and reports whether the kernel took it whole.
func (f *floor) write(fd int32) bool {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&f.frame[0])), uintptr(len(f.frame)))
	return errno == 0 && int(n) == len(f.frame)
}

func (f *floor) drop(fd int32) {
	if stood := f.place[fd]; stood.room != nil {
		fds := stood.room.fds
		last := fds[len(fds)-1]
		fds[stood.at] = last
		f.place[last] = stood
		stood.room.fds = fds[:len(fds)-1]
		delete(f.place, fd)
	}
	delete(f.partial, fd)
	delete(f.behind, fd)
	unix.Close(int(fd))
}
