//go:build unix

package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// queueMax is how many may wait to be accepted, beyond what any system allows: listen(2) takes its
// own limit then, of which SOMAXCONN is only what it once was on Linux. A client that comes beyond
// it is not tried again, as in TCP, but refused.
const queueMax = 1<<16 - 1

// A unixListener is a unix socket and the file that it is reached by, which outlives whoever bound
// it unless it is removed.
type unixListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo // nil for an abstract socket, which has none
}

// Close removes the file if it is still ours: another gateway may have taken the path meanwhile.
// While the socket is open nobody else's file has its inode.
func (l *unixListener) Close() error {
	if l.file != nil {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
			_ = os.Remove(l.path) // Or the next one finds that nobody answers.
		}
		l.file = nil
	}
	return l.UnixListener.Close()
}

// listenUnix binds a path, removes what a killed process has left there, and sets who may connect
// before anybody can: nobody can between bind(2) and listen(2).
func (c *config) listenUnix(path string) (net.Listener, error) {
	fd, err := bindUnix(path)
	if errors.Is(err, syscall.EADDRINUSE) && !isAbstract(path) {
		if err = removeStale(path); err == nil {
			fd, err = bindUnix(path)
		}
	}
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fd), path)
	defer socket.Close() // FileListener duplicates it.
	l := &unixListener{path: path}
	if !isAbstract(path) {
		if l.file, err = os.Lstat(path); err != nil {
			return nil, err
		}
		if err := c.admitTo(path); err != nil {
			_ = os.Remove(path)
			return nil, err
		}
	}
	if err := syscall.Listen(fd, queueMax); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	inner, err := net.FileListener(socket)
	if err != nil {
		return nil, err
	}
	l.UnixListener = inner.(*net.UnixListener)
	return l, nil
}

// isAbstract reports whether a socket has a name in the kernel alone, which has no mode. Elsewhere
// than on Linux it is a file like any other.
func isAbstract(path string) bool { return runtime.GOOS == "linux" && strings.HasPrefix(path, "@") }

func bindUnix(path string) (fd int, err error) {
	syscall.ForkLock.RLock()
	fd, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		syscall.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// admitTo sets the mode and the group of a socket's file: whoever may write to it may connect.
func (c *config) admitTo(path string) error {
	if c.socketGroup >= 0 {
		if err := os.Lchown(path, -1, c.socketGroup); err != nil {
			return fmt.Errorf("cannot give the socket to group %s, of which the gateway's user has to be: %w", c.SocketGroup, err)
		}
	}
	return os.Chmod(path, c.SocketMode)
}

// removeStale removes a socket that nobody answers on. What else may be at the path stays there.
func removeStale(path string) error {
	before, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if before.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return errors.New("another process answers on it")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("there is a socket, and whether anybody answers on it cannot be told: %w", err)
	}
	// Another gateway that starts now may have done the same and be there already.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(now, before) {
		return errors.New("another process has just taken it")
	}
	return os.Remove(path)
}
