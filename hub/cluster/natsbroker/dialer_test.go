package natsbroker

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// A server that ends the handshake, as one does that is killed or is full, is tried again and
// again: nats.go does not close what it had.
func TestFailedHandshakesLeaveNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := Dial(Options{URLs: []string{"nats://" + l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var past []net.Conn
	for range 3 {
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "-ERR 'maximum connections exceeded'\r\n") // Too late, maybe, for who waits for it.
		past = append(past, c)
	}
	for i, c := range past[:len(past)-1] {
		_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d of a handshake that failed is open behind the next: %v", i, err)
		}
	}
}
