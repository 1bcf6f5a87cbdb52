package gateway

import (
	"net"

	"sluice/wsproto"
)

// judgePage refuses a page of another origin. Browsers alone send an Origin; whoever sends none is
// no page.
func (s *Server) judgePage(origin, host []byte) *wsproto.Refusal {
	switch {
	case origin == nil || s.config().origins.Lists(origin):
		return nil
	case !wsproto.IsSameHost(origin, host):
		return wsproto.Refuse(wsproto.ReasonOrigin)
	case !s.isOwnHost(host):
		return wsproto.Refuse(wsproto.ReasonForeignHost)
	}
	return nil
}

// isOwnHost judges the host that a browser asks for. HTTP/1.0 may name none, which no browser does.
func (s *Server) isOwnHost(host []byte) bool {
	return !s.judgesHosts.Load() || len(host) == 0 || s.config().hosts.IsOwn(host)
}

// needsHosts reports whether hosts are judged: by Options.AllowHost, or because only browsers of
// this machine can come. Those are within the reach of any page that has its name lead here, and
// nobody else calls such a server by a name of its own. A unix socket is in no page's reach, nor do
// we know where a program listens that calls ServeHTTP. The caller holds mu.
func (s *Server) needsHosts() bool {
	onLoopback := false
	for _, l := range s.listeners {
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			if !tcp.IP.IsLoopback() {
				onLoopback = false
				break
			}
			onLoopback = true
		}
	}
	return onLoopback || len(s.config().AllowHost) > 0
}

// judgeHost refuses a page's request under a name that is not ours. A client that asks for an
// upgrade without an Origin is no browser.
func (s *Server) judgeHost(r *wsproto.Request) *wsproto.Refusal {
	isClient := len(r.Header("Upgrade")) > 0 && len(r.Header("Origin")) == 0
	if isClient || s.isOwnHost(r.Host) {
		return nil
	}
	return wsproto.Refuse(wsproto.ReasonForeignHost)
}
