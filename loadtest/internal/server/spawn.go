// Package server starts foreign servers and stops them.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	spawnTimeout = 30 * time.Second       // for the server to listen; go run compiles first
	stopTimeout  = 15 * time.Second       // for it to end after SIGTERM, before it is killed
	settleTime   = 100 * time.Millisecond // for the rest of its start, which is not to be measured
	tailBytes    = 16 << 10               // of its output that is kept
)

// ErrUnreachable says that not one client could connect.
var ErrUnreachable = errors.New("the server could not be reached")

// A Server is a process that the tool started, and its descendants. One goroutine at a time may use
// it.
type Server struct {
	Port  int
	cmd   *exec.Cmd
	tail  tail
	ended chan struct{} // closed when the process has ended
	err   error         // how, after ended
}

// Spawn runs a command of the shell with a free port in PORT and waits until something listens
// there, 30 s at most. The server is to be stopped. If nothing comes to listen, or ctx ends before,
// the error is ErrUnreachable and has the last of what it printed.
func Spawn(ctx context.Context, command string) (*Server, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, ended: make(chan struct{})}
	s.cmd = exec.Command("sh", "-c", command)
	s.cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port))
	s.cmd.Stdout, s.cmd.Stderr = &s.tail, &s.tail
	s.cmd.WaitDelay = stopTimeout
	ownGroup(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("--spawn: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	if err := s.awaitPort(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("--spawn %q: %w%s", command, err, s.lastWords())
	}
	time.Sleep(settleTime)
	return s, nil
}

// FreePort asks the kernel for a port that nobody has. Somebody may take it before the server does,
// which then says so.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// PID is the process that runs the command: a shell, or what it has become by exec.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Addr is where it listens, 127.0.0.1:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

func (s *Server) awaitPort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, spawnTimeout)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.ended:
			return fmt.Errorf("the server ended before it listened: %w", errors.Join(s.err, ErrUnreachable))
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on port %d: %w", s.Port, ErrUnreachable)
		}
	}
}

// Stop ends the server with SIGTERM, and with SIGKILL if it takes too long. It may be called again.
func (s *Server) Stop() {
	select {
	case <-s.ended:
		return
	default:
	}
	terminate(s.cmd)
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		kill(s.cmd)
		<-s.ended
	}
}

// lastWords is the end of what the server printed, for errors.
func (s *Server) lastWords() string {
	text := strings.TrimSpace(s.tail.String())
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return "\n  it printed: " + strings.Join(lines[max(0, len(lines)-5):], "\n  ")
}

// Said returns the numbers of the last line of its log that has deliveries=…, in the form
// name=value; nil if there is none. It is asked after Stop.
func (s *Server) Said() map[string]float64 {
	var found map[string]float64
	for line := range strings.Lines(s.tail.String()) {
		if !strings.Contains(line, " deliveries=") {
			continue
		}
		found = make(map[string]float64)
		for word := range strings.FieldsSeq(line) {
			if name, value, ok := strings.Cut(word, "="); ok {
				if n, err := strconv.ParseFloat(value, 64); err == nil {
					found[name] = n
				}
			}
		}
	}
	return found
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if extra := t.buf.Len() - tailBytes; extra > 0 {
		t.buf.Next(extra)
	}
	return len(p), nil
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
