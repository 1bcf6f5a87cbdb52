package process

import (
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor"
)

// A pacer wakes a loop at an instant, more exactly than epoll_wait's milliseconds: with a timerfd,
// timerfd_create(2).
type pacer struct{ fd int }

func newPacer(l *reactor.Loop) (*pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &pacer{fd}
	// Each expiry is a new edge, so it need not be read.
	if _, err := l.Register(fd, reactor.Readable, reactor.Edge, p); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return p, nil
}

// wakeAfter ends the loop's wait after d, and returns how long the wait may be.
func (p *pacer) wakeAfter(d time.Duration) time.Duration {
	if d <= 0 || d > time.Second {
		return d
	}
	if unix.TimerfdSettime(p.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil) != nil {
		return d
	}
	return d + time.Second
}

// OnEvent implements reactor.Source: waking is all.
func (p *pacer) OnEvent(*reactor.Loop, reactor.Event) {}
