//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import "sluice/reactor/internal/sys"

type backend = kqueueBackend

func newPoller(kernel sys.Calls) (*Poller, error) {
	b, err := newKqueue(kernel)
	if err != nil {
		return nil, err
	}
	return &Poller{b}, nil
}

// expect changes nothing: what it is worth was measured with epoll alone.
func (p *kqueueBackend) expect(bool) {}
