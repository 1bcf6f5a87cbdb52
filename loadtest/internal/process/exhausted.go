package process

import (
	"errors"
	"fmt"
	"syscall"

	"sluice/loadtest/internal/shared"
)

// ErrExhausted says that openings failed for want of something on this machine, and so tell nothing
// of the server.
var ErrExhausted = errors.New("the load test's own machine ran out")

// An exhaustion is something that a machine can run out of.
type exhaustion struct {
	what, remedy string
	errnos       []error
}

// exhaustions by their place in Totals.Exhausted. connect(2) and socket(2) say what each errno
// means.
var exhaustions = [...]exhaustion{
	{
		"local ports",
		"an address has some 28,000 to one destination, fewer while those of the last run are in TIME-WAIT, which takes a minute. " +
			"Wait; widen net.ipv4.ip_local_port_range; give the server several addresses, and one URL for each; or load it from several machines",
		[]error{syscall.EADDRNOTAVAIL, syscall.EAGAIN, syscall.EADDRINUSE},
	},
	{
		"descriptors",
		"raise the limit (ulimit -n, fs.file-max), or spread the clients over more --processes",
		[]error{syscall.EMFILE, syscall.ENFILE},
	},
	{
		"memory for sockets",
		"raise net.ipv4.tcp_mem, or take fewer --clients",
		[]error{syscall.ENOBUFS, syscall.ENOMEM},
	},
}

// noteExhaustion counts an opening that failed for want of something here.
func (c *client) noteExhaustion(err error) {
	for i, e := range exhaustions {
		for _, errno := range e.errnos {
			if errors.Is(err, errno) {
				c.w.process.rank.Stats.Totals.Exhausted[i].Add(1)
				return
			}
		}
	}
}

// Exhausted is an ErrExhausted with the remedy if any process ran out of something, and nil
// otherwise.
func Exhausted(totals *shared.Totals) error {
	for i, e := range exhaustions {
		if n := totals.Exhausted[i].Load(); n > 0 {
			return fmt.Errorf("%w of %s: %d connections could not begin. Remedy: %s", ErrExhausted, e.what, n, e.remedy)
		}
	}
	return nil
}
