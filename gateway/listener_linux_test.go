package gateway_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/gateway"
	"sluice/internal/testenv"
)

// Whoever shares a listening socket may shut it down. Then accept(2) says EINVAL for good, and
// epoll a hangup, whatever the socket is watched for: that is not to spin the loop.
func TestListenerThatWasShutDownRests(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, gateway.Options{Loops: 1})
	if err := s.ListenOn(l); err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	var shut error
	if err := raw.Control(func(fd uintptr) { shut = unix.Shutdown(int(fd), unix.SHUT_RDWR) }); err != nil || shut != nil {
		t.Fatal(err, shut)
	}
	rests := func() uint64 { return statsOf(t, s).AcceptPaused }
	testenv.Eventually(t, "accepting rests", func() bool { return rests() > 0 })
	ticks, begun, first := statsOf(t, s).Loop.Ticks, time.Now(), rests()
	testenv.Eventually(t, "accepting is tried again", func() bool { return rests() > first+1 })
	took := time.Since(begun)
	// Twice in 500 ms, and asking for figures is some ticks itself.
	if tried, turns := rests()-first, statsOf(t, s).Loop.Ticks-ticks; took < 250*time.Millisecond || turns > 2000 {
		t.Errorf("%d rests and %d ticks in %v", tried, turns, took)
	}
}
