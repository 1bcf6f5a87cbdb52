//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package sys

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a peer does not take stays queued, and falls when it does. A system that does not tell says
// so.
func TestQueuedIsWhatThePeerHasNotTaken(t *testing.T) {
	tcp := func(t *testing.T) (here, peer int) {
		l, addr := listen(t)
		return connect(t, l, addr)
	}
	pair := func(t *testing.T) (here, peer int) {
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(ends[1]) })
		must(t, unix.SetNonblock(ends[0], true))
		return ends[0], ends[1]
	}
	for name, open := range map[string]func(t *testing.T) (here, peer int){"tcp": tcp, "unix": pair} {
		t.Run(name, func(t *testing.T) {
			var kernel Real
			here, peer := open(t)
			defer kernel.Close(here)
			n, err := kernel.Queued(here)
			if errors.Is(err, ErrUnsupported) {
				t.Skip("this system does not tell")
			}
			if n != 0 || err != nil {
				t.Fatalf("%d bytes are queued before any were written, %v", n, err)
			}
			written := 0
			for buf := make([]byte, 64<<10); ; {
				k, err := kernel.Write(here, buf)
				if written += k; err != nil {
					break
				}
			}
			full, err := kernel.Queued(here)
			must(t, err)
			if full <= 0 || full > 16*written { // Memory is more than what lies in it, but not so much.
				t.Fatalf("%d bytes are queued, of %d that were written", full, written)
			}
			for buf := make([]byte, 64<<10); written > 0; {
				k, err := unix.Read(peer, buf)
				must(t, err)
				written -= k
			}
			for start := time.Now(); ; time.Sleep(time.Millisecond) {
				n, err := kernel.Queued(here)
				must(t, err)
				if n == 0 {
					break
				}
				if time.Since(start) > 10*time.Second {
					t.Fatalf("%d bytes are queued, all of which the peer has read", n)
				}
			}
		})
	}
}
