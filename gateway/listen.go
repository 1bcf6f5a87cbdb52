package gateway

import (
	"errors"
	"fmt"
	"net"
)

// Listen opens an address: host:port, [v6]:port, :port for all interfaces, or unix:/path. A port of
// zero is one that the system chooses. A socket at the path that nobody answers on is replaced. All
// addresses are opened before Serve. After an error there may be a part of them open, so the Server
// is to be closed.
func (s *Server) Listen(address string) error { return s.ListenWith(address, ListenOptions{}) }

// ListenWith is Listen for an address on which something else is spoken in front of HTTP.
func (s *Server) ListenWith(address string, o ListenOptions) error {
	if err := s.listen(address, o); err != nil {
		return fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return nil
}

func (s *Server) listen(address string, o ListenOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.beMade(); err != nil {
		return err
	}
	if err := s.canSpeak(o); err != nil {
		return err
	}
	opened, err := s.config().openListener(address)
	if err != nil {
		return err
	}
	return s.watch(opened, false, o)
}

// ListenOn is Listen for a socket that somebody else has opened and keeps, such as systemd: of TCP,
// or a unix one. The Server closes l, with an error too. A Drain leaves those who wait to be
// accepted to whoever has the socket next.
func (s *Server) ListenOn(l net.Listener) error { return s.ListenOnWith(l, ListenOptions{}) }

// ListenOnWith is to ListenOn what ListenWith is to Listen.
func (s *Server) ListenOnWith(l net.Listener, o ListenOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.beMade()
	if err == nil {
		err = s.canSpeak(o)
	}
	if err == nil {
		switch l.(type) {
		case *net.TCPListener, *net.UnixListener:
			return s.watch([]net.Listener{l}, true, o)
		}
		err = fmt.Errorf("gateway: %T is no listener of TCP or a unix socket", l)
	}
	l.Close()
	return err
}

// canSpeak returns why what is to be spoken on an address cannot be.
func (s *Server) canSpeak(o ListenOptions) error {
	if o.TLS && s.certificates.current.Load() == nil {
		return errors.New("there is no certificate for TLS")
	}
	return nil
}

// watch spreads listeners over the loops. The caller holds mu.
func (s *Server) watch(opened []net.Listener, isShared bool, o ListenOptions) error {
	first := len(s.listeners)
	s.listeners = append(s.listeners, opened...) // All of them, for Close, whatever becomes of one.
	for i, l := range opened {
		w := s.workers[(first+i)%len(s.workers)]
		fd, err := s.config().descriptor(l, w.kernel)
		if err != nil {
			return err
		}
		if err := w.newListener(fd, isTCP(l), isShared, o); err != nil {
			_ = w.kernel.Close(fd)
			return err
		}
	}
	return nil
}

// Addrs are the addresses listened on, with the ports that were chosen.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []net.Addr
	for _, l := range s.listeners {
		all = append(all, l.Addr())
	}
	return all
}
