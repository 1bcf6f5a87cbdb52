//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor_test

import (
	"errors"
	"fmt"
	"log"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor"
)

// pair returns two connected, non-blocking sockets.
func pair() (a, b int) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			log.Fatal(err)
		}
	}
	return fds[0], fds[1]
}

// A Poller says when a socket can be read, under a name of the caller's choice.
func ExamplePoller() {
	p, err := reactor.NewPoller()
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	a, b := pair()
	defer unix.Close(a)
	defer unix.Close(b)

	names := reactor.NewSlab[string](16)
	token, _ := names.Insert("the left one")
	if err := p.Register(a, token, reactor.Readable, reactor.Edge); err != nil {
		log.Fatal(err)
	}
	unix.Write(b, []byte("hello"))

	events, err := p.Wait(make([]reactor.Event, 0, 16), time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, ev := range events {
		name, _ := names.Get(ev.Token)
		fmt.Println(*name, "is readable:", ev.Readable())
	}
	// Output: the left one is readable: true
}

// echo sends back what it reads.
type echo struct{ fd int }

// OnEvent reads until EAGAIN, as the rules of edge-triggered sources want. To stay short it trusts
// that the socket takes what it writes.
func (e *echo) OnEvent(l *reactor.Loop, ev reactor.Event) {
	var buf [512]byte
	for {
		n, err := l.Kernel().Read(e.fd, buf[:])
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return
		case err != nil || n == 0: // The peer is gone.
			l.Close(ev.Token)
			l.Stop()
			return
		}
		l.Kernel().Write(e.fd, buf[:n])
	}
}

// A Loop owns its sources and their descriptors.
func ExampleLoop() {
	l, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ours, theirs := pair()
	defer unix.Close(theirs)
	if _, err := l.Register(ours, reactor.Readable, reactor.Edge, &echo{ours}); err != nil {
		log.Fatal(err)
	}
	unix.Write(theirs, []byte("hello"))
	unix.Shutdown(theirs, unix.SHUT_WR)

	if err := l.Run(); err != nil {
		log.Fatal(err)
	}
	var buf [512]byte
	n, err := unix.Read(theirs, buf[:])
	fmt.Println(string(buf[:n]), err)
	// Output: hello <nil>
}
