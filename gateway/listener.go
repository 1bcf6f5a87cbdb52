package gateway

import (
	"errors"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

const (
	// acceptsPerTick bounds the connections taken in one tick, so that a storm of them leaves time
	// for those that are here. The listener is level-triggered: what is left is reported again.
	acceptsPerTick = 64
	// acceptRetry is how long accepting rests when descriptors or memory have run out, or the
	// listener is of no use. Interest is dropped meanwhile, or the listener would be reported at
	// every wait; an edge-triggered one would never be reported again.
	acceptRetry = 250 * time.Millisecond
	// acceptPause is how long it rests when as many connections as a tick takes have failed, and
	// not one did not: whoever makes connections fail is not to spin the loop, nor to keep the
	// others waiting for long.
	acceptPause = 50 * time.Millisecond
)

// A listener accepts connections on one loop and spreads them evenly over all.
type listener struct {
	w        *worker
	fd       int
	token    reactor.Token
	isTCP    bool
	isShared bool // somebody else has the socket too, and accepts from it when we do not
	speaks   ListenOptions
	next     int         // worker that gets the next connection, if no other has fewer
	taken    [][]arrival // accepted this tick, by worker

	failures  int  // of single connections, in a row
	isResting bool // until its timer fires
}

func (w *worker) newListener(fd int, isTCP, isShared bool, speaks ListenOptions) error {
	l := &listener{w: w, fd: fd, isTCP: isTCP, isShared: isShared, speaks: speaks, taken: make([][]arrival, len(w.server.workers))}
	t, err := w.loop.Register(fd, reactor.Readable, reactor.Level, l)
	l.token = t
	return err
}

// OnEvent implements reactor.Source.
func (l *listener) OnEvent(_ *reactor.Loop, ev reactor.Event) {
	switch {
	case ev.Timeout():
		l.isResting = false
		l.rearm(reactor.Readable)
	case l.isResting:
		return // A socket that was shut down has hung up for good, whatever it is watched for.
	}
	l.accept(acceptsPerTick)
	l.hand()
}

// accept takes up to n connections and reports whether the queue is empty.
func (l *listener) accept(n int) (empty bool) {
	for range n {
		fd, err := l.w.kernel.Accept(l.fd)
		switch {
		case err == nil:
			l.failures = 0
			l.admit(fd)
			continue
		case errors.Is(err, syscall.EAGAIN):
			l.failures = 0
			return true
		case isOfListener(err):
			l.rest(err, acceptRetry)
			return true
		}
		// The error of one connection, gone before it was taken (accept(2) "Error handling"): the
		// next may be fine.
		l.w.stats.AcceptFailed++
		if l.failures++; l.failures >= acceptsPerTick {
			l.rest(err, acceptPause)
			return true
		}
	}
	return false
}

// isOfListener reports whether accepting failed for a reason that the next connection has as well:
// nothing is left of something, or the listener is none.
func isOfListener(err error) bool {
	for _, of := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EFAULT,
	} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

func (l *listener) rest(err error, pause time.Duration) {
	l.failures, l.isResting = 0, true
	l.w.stats.AcceptPaused++
	if skipped, ok := l.w.server.samples.unaccepted.Take(l.w.kernel.Now()); ok {
		l.w.log.Warn("cannot accept connections, trying again shortly", "error", err, "and_more", skipped)
	}
	l.rearm(0)
	l.w.loop.SetTimer(l.token, pause)
}

func (l *listener) rearm(in reactor.Interest) {
	if err := l.w.loop.Rearm(l.token, in); err != nil {
		if skipped, ok := l.w.server.samples.unarmed.Take(l.w.kernel.Now()); ok {
			l.w.log.Error("cannot rearm the listener, trying again shortly", "error", err, "and_more", skipped)
		}
		l.w.loop.SetTimer(l.token, acceptRetry) // Or it would stay deaf.
	}
}

func (l *listener) admit(fd int) {
	key := l.keyOf(fd)
	if reason := l.w.server.admit(key, l.w.kernel.Now()); reason != 0 {
		l.reject(fd, reason)
		return
	}
	if l.isTCP && runtime.GOOS != "linux" {
		l.w.cfg.setOptions(l.w.kernel, fd)
	}
	to := l.w.server.emptiest(l.next)
	to.conns.Add(1)
	l.taken[to.no] = append(l.taken[to.no], arrival{fd: fd, key: key, speaks: l.speaks})
	l.next = (to.no + 1) % len(l.taken)
}

// keyOf is whom a connection counts for; the kernel is asked only if a limit wants to know. A
// client that is gone already counts for nobody.
func (l *listener) keyOf(fd int) (key netip.Addr) {
	a := l.w.server.admission
	if !l.isTCP || !a.asks() {
		return key
	}
	if from, err := l.w.kernel.PeerAddress(fd); err == nil && a.counts(from) {
		key = addressKey(from)
	}
	return key
}

// hand gives each worker its share of what was accepted, in one task. A worker whose mailbox is
// full is overloaded: its share stays here.
func (l *listener) hand() {
	for i, taken := range l.taken {
		if len(taken) == 0 {
			continue
		}
		other := l.w.server.workers[i]
		l.taken[i] = nil
		if other != l.w && other.loop.Post(func(*reactor.Loop) { other.adopt(taken) }) {
			continue
		}
		other.conns.Add(-int64(len(taken)))
		l.w.conns.Add(int64(len(taken)))
		l.w.adopt(taken)
	}
}

// reject refuses a connection that was accepted and has no conn.
func (l *listener) reject(fd int, reason wsproto.Reason) {
	l.w.stats.Rejected++
	l.w.stats.Refusals[reason]++
	// Closing with the request unread would reset the connection, and the reset can overtake the
	// answer. A fresh socket takes these few bytes; if not, the close says the same less politely.
	_, _ = l.w.kernel.Read(fd, l.w.buf)
	answer := rejections[reason][l.w.random.IntN(retryMax)]
	if l.speaks.TLS {
		answer = tlsRejection
	}
	_, _ = l.w.kernel.Write(fd, answer)
	l.w.logRefusal(fd, nil, wsproto.Refuse(reason), nil)
	_ = l.w.kernel.Close(fd)
}

// tlsRejection is the alert internal_error: none says that there are too many.
var tlsRejection = []byte{21, 3, 3, 0, 2, 2, 80}
