package natstest

import (
	"fmt"
	"net"
	"slices"
	"testing"
)

// A port that is given is listened on as often as a test wants, and is nobody else's meanwhile.
func TestPortsAreOnesOwn(t *testing.T) {
	ports := Ports(t, 3)
	for range 2 {
		for _, port := range ports {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
	}
	for range 2_000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if port := l.Addr().(*net.TCPAddr).Port; slices.Contains(ports, port) {
			t.Errorf("%d is given away", port)
		}
		l.Close()
	}
}
