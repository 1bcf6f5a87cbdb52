package reactortest

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// traceLen is how many of the last calls a trace shows.
const traceLen = 2048

// A trace is what happened last, and a digest of all that ever did.
type trace struct {
	last   [traceLen]step
	n      int
	digest uint64
}

// A step is one call or one thing that happened beside calls.
type step struct {
	at     time.Duration
	actor  int
	what   string
	fd     int
	asked  int
	got    int
	err    error
	isCall bool
}

// mix is FNV-1a by words.
func (t *trace) mix(x uint64) { t.digest = (t.digest ^ x) * 0x100000001b3 }

func (t *trace) add(e step) {
	t.last[t.n%traceLen] = e
	t.n++
	for _, b := range []byte(e.what) {
		t.mix(uint64(b))
	}
	for _, x := range [...]int{int(e.at), e.fd, e.asked, e.got} {
		t.mix(uint64(x))
	}
	var errno syscall.Errno
	if errors.As(e.err, &errno) {
		t.mix(uint64(errno))
	}
}

// done notes the end of a call and returns its error.
func (s *Sim) done(what string, fd, asked, got int, err error) error {
	s.trace.add(step{s.now, s.actor, what, fd, asked, got, err, true})
	return err
}

// note notes what is no call.
func (s *Sim) note(what string, no, n int) {
	s.trace.add(step{at: s.now, what: what, fd: no, got: n})
}

func (s *Sim) noteEvent(fd int, mask uint32) {
	s.trace.add(step{at: s.now, actor: s.actor, what: "event", fd: fd, got: int(mask), isCall: true})
}

// Note adds a line of the test's own to the trace.
func (s *Sim) Note(what string, args ...any) { s.note(fmt.Sprintf(what, args...), 0, 0) }

// Digest is a number that two runs have in common if all their calls had the same results at the
// same times.
func (s *Sim) Digest() uint64 { return s.trace.digest }

// Trace shows the last calls, one a line: time, poller whose loop made it, call, descriptor or
// connection, what was asked and what was got.
func (s *Sim) Trace() string {
	var b strings.Builder
	for i := max(0, s.trace.n-traceLen); i < s.trace.n; i++ {
		fmt.Fprintln(&b, s.trace.last[i%traceLen])
	}
	return b.String()
}

func (e step) String() string {
	switch {
	case !e.isCall && e.fd == 0:
		return fmt.Sprintf("%12v    %s", e.at, e.what)
	case !e.isCall:
		return fmt.Sprintf("%12v    connection %d: %s %d", e.at, e.fd, e.what, e.got)
	case e.what == "event":
		return fmt.Sprintf("%12v %2d   event of %d: %s", e.at, e.actor, e.fd, maskName(uint32(e.got)))
	}
	result := fmt.Sprint(e.got)
	if e.err != nil {
		result = e.err.Error()
	}
	return fmt.Sprintf("%12v %2d %s(%d, %d) = %s", e.at, e.actor, e.what, e.fd, e.asked, result)
}

var maskNames = []struct {
	bit  uint32
	name string
}{{0x1, "IN"}, {0x4, "OUT"}, {0x8, "ERR"}, {0x10, "HUP"}, {0x2000, "RDHUP"}}

func maskName(mask uint32) string {
	var names []string
	for _, m := range maskNames {
		if mask&m.bit != 0 {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, "|")
}
