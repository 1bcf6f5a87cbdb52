package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// certificates are what TLS listeners speak by. A handshake takes what is current when it begins;
// sessions of before a change are not resumed, so whoever lost its authority has to show itself
// anew.
type certificates struct {
	base    *tls.Config                // the program's, nil for none
	current atomic.Pointer[tls.Config] // nil: there is nothing to speak TLS with
	expires atomic.Int64               // as expire says, for who waits for no file

	mu sync.Mutex
	certificateFiles
	seen  []os.FileInfo       // of the files when they were read last, nil for one that was not there
	shown shownCertificates   // what the files of the pairs had, in their order
	told  []*x509.Certificate // … of which it was told that clients refuse them for their dates
}

// certificateFiles are those of Options.TLSPairs and TLSClientCA.
type certificateFiles struct {
	pairs []TLSPair
	ca    string
}

func newCertificates(cfg *config) (*certificates, error) {
	s := &certificates{base: cfg.TLS, certificateFiles: certificateFiles{cfg.TLSPairs, cfg.TLSClientCA}}
	if s.base == nil && len(s.pairs) == 0 {
		return s, nil
	}
	return s, s.reload()
}

// reload reads the files and, if all are good, puts them in force.
func (s *certificates) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = s.look()
	made, shown, err := s.read(s.base)
	if err != nil {
		return err
	}
	s.show(made, shown)
	return nil
}

// show puts in force what was read.
func (s *certificates) show(made *tls.Config, shown shownCertificates) {
	s.shown = shown
	s.expires.Store(shown.expire())
	s.current.Store(made)
}

// change reads the files that a config names, and returns what puts them in force in the place of
// those of before.
func (s *certificates) change(cfg *config) (put func(), err error) {
	files := certificateFiles{cfg.TLSPairs, cfg.TLSClientCA}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(files.pairs, s.pairs) && files.ca == s.ca {
		return func() {}, nil
	}
	seen := files.look()
	made, shown, err := files.read(s.base)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.certificateFiles, s.seen = files, seen
		s.show(made, shown)
	}, err
}

// read makes a configuration of what the files hold now, and of the program's if there is one.
func (s *certificateFiles) read(base *tls.Config) (made *tls.Config, shown shownCertificates, err error) {
	made = &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		made = base.Clone()
	}
	made.NextProtos = []string{"http/1.1"} // HTTP/2 has no connection to give to a WebSocket.
	made.DynamicRecordSizingDisabled = true
	if len(s.pairs) > 0 {
		for _, p := range s.pairs {
			pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
			if err != nil {
				return nil, nil, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err)
			}
			shown = append(shown, &pair)
		}
		made.Certificates, made.GetCertificate = nil, shown.pick
	}
	if s.ca != "" {
		text, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, nil, fmt.Errorf("authorities of clients: %w", err)
		}
		made.ClientCAs = x509.NewCertPool()
		if !made.ClientCAs.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("authorities of clients: %s has no certificate in PEM", s.ca)
		}
		made.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return made, shown, nil
}

// A dated is a certificate that clients refuse for its dates, and the file that it is in.
type dated struct {
	*x509.Certificate
	file string
}

// outOfDate are the certificates whose time is over at this one, in milliseconds since 1970, or has
// not come. Each is told of once.
func (s *certificates) outOfDate(now int64) (all []dated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var told []*x509.Certificate
	for i, c := range s.shown {
		if c.Leaf.NotBefore.UnixMilli() <= now && now <= c.Leaf.NotAfter.UnixMilli() {
			continue
		}
		told = append(told, c.Leaf)
		if !slices.ContainsFunc(s.told, c.Leaf.Equal) {
			all = append(all, dated{c.Leaf, s.pairs[i].Cert})
		}
	}
	s.told = told
	return all
}

// shownCertificates are the pairs, in their order.
type shownCertificates []*tls.Certificate

// expire is when the first of them does, in seconds since 1970; zero if there is none.
func (all shownCertificates) expire() (first int64) {
	for _, c := range all {
		if end := c.Leaf.NotAfter.Unix(); first == 0 || end < first {
			first = end
		}
	}
	return first
}

// pick is the first that is for the name that a client asks for, and that it can use. Who asks for
// none, as by an address, gets the first. None is for another name: the client is told so.
func (all shownCertificates) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var fallback *tls.Certificate
	for _, c := range all {
		if !isFor(c, hello.ServerName) {
			continue
		}
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
		if fallback == nil {
			fallback = c
		}
	}
	return fallback, nil
}

// isFor reports whether a certificate is for a name. One without any name is for all of them.
func isFor(c *tls.Certificate, name string) bool {
	leaf := c.Leaf
	return name == "" || len(leaf.DNSNames) == 0 || leaf.VerifyHostname(name) == nil
}

// asksClients reports whether clients have to show certificates.
func (s *certificates) asksClients() bool {
	now := s.current.Load()
	return now != nil && now.ClientAuth != tls.NoClientCert
}

// look tells the files' states.
func (s *certificateFiles) look() (all []os.FileInfo) {
	files := []string{s.ca}
	for _, p := range s.pairs {
		files = append(files, p.Cert, p.Key)
	}
	for _, name := range files {
		info, _ := os.Stat(name) // nil: it is not there, or there is none.
		if info != nil && info.Mode()&fs.ModeNamedPipe != 0 {
			info = nil // What was in it is gone: it is never another.
		}
		all = append(all, info)
	}
	return all
}

// hasChanged reports whether a file is another than the one that was read, or was written to.
func (s *certificates) hasChanged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.EqualFunc(s.look(), s.seen, func(a, b os.FileInfo) bool {
		if a == nil || b == nil {
			return a == b
		}
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}
