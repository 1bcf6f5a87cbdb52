//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"syscall"
	"testing"

	"sluice/reactor/internal/sys"
)

func testHangupWithoutData(t *testing.T, p poller) {
	for _, pair := range pairs {
		a, b := pair(t)
		register(t, p, a, testToken, Readable, Edge)
		closeNow(t, b)
		expect(t, p, testToken, readyRead|readyHangup)
		if n, err := readSome(a); n != 0 || err != nil {
			t.Errorf("read %d, %v at the end of the stream", n, err)
		}
	}
}

func testHangupKeepsData(t *testing.T, p poller) {
	for _, pair := range pairs {
		a, b := pair(t)
		write(t, b, "last words")
		closeNow(t, b)
		register(t, p, a, testToken, Readable, Edge)
		expectAll(t, p, testToken, readyRead|readyHangup)
		if n, err := readSome(a); n != len("last words") || err != nil {
			t.Errorf("read %d, %v of the bytes before the end", n, err)
		}
		if n, err := readSome(a); n != 0 || err != nil {
			t.Errorf("read %d, %v at the end of the stream", n, err)
		}
	}
}

func testHalfClose(t *testing.T, p poller) {
	for _, pair := range pairs {
		a, b := pair(t)
		register(t, p, a, testToken, Readable, Edge)
		if err := (sys.Real{}).CloseWrite(b); err != nil {
			t.Fatal(err)
		}
		if ev := expect(t, p, testToken, readyRead|readyHangup); ev.Error() {
			t.Errorf("%v after an orderly half-close", ev)
		}
		register(t, p, b, testToken+1, Readable, Edge)
		write(t, a, "still here")
		expect(t, p, testToken+1, readyRead)
		if n := drain(t, b); n != len("still here") {
			t.Errorf("the half-closed peer read %d bytes", n)
		}
	}
}

// A connection that has sent its Close frame shuts down and reads on; taking that for the peer's
// end would cut it short.
func testOwnShutdownIsNoHangup(t *testing.T, p poller) {
	for _, pair := range pairs {
		a, b := pair(t)
		register(t, p, a, testToken, Readable|Writable, Edge)
		if err := (sys.Real{}).CloseWrite(a); err != nil {
			t.Fatal(err)
		}
		write(t, b, "x")
		if ev := expectAll(t, p, testToken, readyRead); ev.Hangup() || ev.Error() {
			t.Errorf("%v, but the peer is still sending", ev)
		}
		closeNow(t, b)
		expect(t, p, testToken, readyRead|readyHangup)
	}
}

func testResetIsAnError(t *testing.T, p poller) {
	for _, in := range []Interest{Readable, Writable, Readable | Writable} {
		a, b := tcpPair(t)
		register(t, p, a, testToken, in, Edge)
		abort(t, b)
		expectAll(t, p, testToken, readyRead|readyWrite|readyHangup|readyError)
		if n, err := readSome(a); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d, %v after a reset", n, err)
		}
	}
}

func testResetBehindData(t *testing.T, p poller) {
	a, b := tcpPair(t)
	register(t, p, a, testToken, Readable, Level)
	write(t, b, "x")
	expect(t, p, testToken, readyRead)
	abort(t, b)
	expectAll(t, p, testToken, readyRead|readyHangup|readyError)
	// Systems differ in whether the byte survives the reset; none may block or call it an orderly
	// end right away.
	n, err := readSome(a)
	if n != 1 && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v after a byte and a reset", n, err)
	}
}

func abort(t *testing.T, fd int) {
	t.Helper()
	if err := (sys.Real{}).SetOption(fd, sys.AbortOnClose, 1); err != nil {
		t.Fatal(err)
	}
	closeNow(t, fd)
}
