package gateway

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sluice/wsproto"
)

// An admission decides who may connect, for all listeners together: how many from one address, and
// how many a second. It knows the addresses of connections that exist, and no others, so
// --max-connections bounds it.
type admission struct {
	cfg atomic.Pointer[config]

	mu     sync.Mutex
	conns  map[netip.Addr]int // by what addressKey returns
	bucket bucket             // of new connections
}

func newAdmission(cfg *config) *admission {
	a := &admission{conns: map[netip.Addr]int{}}
	a.cfg.Store(cfg)
	return a
}

// asks reports whether it matters where a connection comes from.
func (a *admission) asks() bool {
	cfg := a.cfg.Load()
	return cfg.MaxPerAddress > 0 || cfg.ConnectRate > 0
}

// counts reports whether connections from the address are counted at all. This machine and trusted
// proxies connect for many others.
func (a *admission) counts(from netip.Addr) bool {
	return from.IsValid() && !from.IsLoopback() && !a.isProxy(from)
}

// isProxy reports whether an address is of a trusted proxy's network.
func (a *admission) isProxy(from netip.Addr) bool {
	for _, p := range a.cfg.Load().TrustedProxy {
		if p.Contains(from.WithZone("")) {
			return true
		}
	}
	return false
}

// addressKey is whom a connection counts for: an IPv4 address, or the /64 of an IPv6 one. Whoever
// has one address of a /64 has all of them (RFC 4291 §2.5.1).
func addressKey(from netip.Addr) netip.Addr {
	if from.Is4() {
		return from
	}
	p, _ := from.Prefix(64) // Fails for no length that an IPv6 address has.
	return p.Addr()
}

// enter counts a connection of key in, or returns the reason why it may not be. The zero key is
// nobody in particular, and may always enter.
func (a *admission) enter(key netip.Addr, now time.Duration) wsproto.Reason {
	if !key.IsValid() {
		return 0
	}
	cfg := a.cfg.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	if cfg.MaxPerAddress > 0 && a.conns[key] >= cfg.MaxPerAddress {
		return wsproto.ReasonAddress
	}
	if cfg.ConnectRate > 0 && !a.bucket.tryTake(int64(cfg.ConnectRate), now) {
		return wsproto.ReasonConnectRate
	}
	a.conns[key]++
	return 0
}

// stay counts a connection of key in that is here already and changes hands.
func (a *admission) stay(key netip.Addr) {
	if key.IsValid() {
		a.mu.Lock()
		a.conns[key]++
		a.mu.Unlock()
	}
}

func (a *admission) leave(key netip.Addr) {
	if !key.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conns[key]--; a.conns[key] == 0 {
		delete(a.conns, key)
	}
}

// retryMax bounds, in seconds, for how long whoever is turned away is asked to stay away. Each is
// told another time, so that those who were turned away together do not come back together.
const retryMax = 8

// rejections are the answers to those who are not admitted.
var rejections = func() map[wsproto.Reason][retryMax][]byte {
	all := map[wsproto.Reason][retryMax][]byte{}
	for _, reason := range []wsproto.Reason{
		wsproto.ReasonUnavailable, wsproto.ReasonMemory, wsproto.ReasonAddress, wsproto.ReasonConnectRate,
	} {
		var answers [retryMax][]byte
		for i := range answers {
			answers[i] = wsproto.Refuse(reason).RetryAfter(i + 1).AppendResponse(nil)
		}
		all[reason] = answers
	}
	return all
}()

func parseAddr(text string) netip.Addr {
	if from, err := netip.ParseAddrPort(text); err == nil {
		return from.Addr().Unmap()
	}
	from, _ := netip.ParseAddr(text)
	return from.Unmap()
}

// remoteAddr is where a request comes from; the zero Addr if that is no address of the network.
func remoteAddr(r *http.Request) netip.Addr { return parseAddr(r.RemoteAddr) }
