package gateway

import (
	"crypto/tls"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// shown is the serial number of the certificate that a client of the name sees.
func (g *tlsGateway) shown(t testing.TB, name string) string {
	t.Helper()
	cfg := g.trusting.Clone()
	cfg.ServerName = name
	c := g.client(t, cfg)
	defer c.Close()
	if err := c.Handshake(); err != nil {
		t.Fatalf("as %s: %v", name, err)
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// T10: handshakes show the new pair from a reload on, connections that are there go on, and files that are no good change
// nothing.
func TestT10_CertificatesAreReplaced(t *testing.T) {
	g := startTLS(t, testConfig())
	first := g.shown(t, serverName)
	there := wstest.DialTLS(t, g.trusting, g.addr, "/ws/there")
	g.authority.Pair(g.pair, serverName)
	if got := g.shown(t, serverName); got != first {
		t.Error("the new pair is shown before anybody has said so")
	}
	if err := g.ReloadCertificates(); err != nil {
		t.Fatal(err)
	}
	second := g.shown(t, serverName)
	if second == first {
		t.Error("the old pair is shown after a reload")
	}
	if err := os.WriteFile(g.pair[0], []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.ReloadCertificates(); err == nil || !strings.Contains(err.Error(), g.pair[0]) {
		t.Errorf("a broken file is refused with %v, which does not say what is wrong", err)
	}
	if got := g.shown(t, serverName); got != second {
		t.Error("a broken file has replaced the pair")
	}
	write(t, there, websocket.MessageText, []byte("on and on"))
	expectMessage(t, there, []byte("on and on"))
}

// T10: the files are watched, by several names; while handshakes come without end each shows a pair that was whole.
func TestT10_FilesAreWatched(t *testing.T) {
	cfg := testConfig()
	cfg.certificatesEvery = 10 * time.Millisecond
	const otherName = "other.test"
	authority := wstest.NewAuthority(t)
	other := authority.Pair([2]string{}, otherName, "*.other.test")
	cfg.TLSPairs = []TLSPair{{other[0], other[1]}}
	g := startTLS(t, cfg)
	g.trusting.RootCAs.AddCert(authority.Certificate())
	was, one := g.shown(t, otherName), g.shown(t, serverName)
	if sub := g.shown(t, "sub.other.test"); sub != was || one == was {
		t.Error("a name is shown another's certificate")
	}
	if err := os.WriteFile(other[1], []byte("half of a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the broken file is logged", func() bool { return len(g.log.lines("cannot use the new certificates")) > 0 })
	if g.shown(t, otherName) != was {
		t.Error("a broken file has replaced the pair")
	}
	authority.Pair(other, otherName)
	testenv.Eventually(t, "the new pair is shown", func() bool { return g.shown(t, otherName) != was })
	if g.shown(t, serverName) != one {
		t.Error("the pair that was not replaced is another one")
	}
}

// T10: who has lost its authority has to show itself anew: a session of before is not resumed.
func TestT10_ClientsAuthorityIsReplaced(t *testing.T) {
	cfg := testConfig()
	cfg.TLSClientCA = "own"
	g := startTLS(t, cfg)
	files := g.authority.Pair([2]string{}, "client")
	pair, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wstest.TryDialTLS(t, g.trusting, g.addr, "/ws", nil); err == nil {
		t.Error("a client without a certificate is in")
	}
	g.expectFailed(t, TLSClientCert, 1)
	known := g.trusting.Clone()
	known.Certificates, known.ClientSessionCache = []tls.Certificate{pair}, tls.NewLRUClientSessionCache(1)
	for _, resumes := range []bool{false, true} {
		c := g.join(t, known, "/ws/x")
		if got := c.ConnectionState().DidResume; got != resumes {
			t.Errorf("resumed: %v, want %v", got, resumes)
		}
		c.Close()
	}
	text, err := os.ReadFile(wstest.NewAuthority(t).File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.authority.File, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.ReloadCertificates(); err != nil {
		t.Fatal(err)
	}
	c := g.client(t, known)
	if _, err := c.Write(wstest.UpgradeHead("/ws/x")); err == nil {
		_, err = io.ReadFull(c, make([]byte, 1)) // A client of TLS 1.3 hears it after its own last word.
		if err == nil {
			t.Error("a client of the old authority is in")
		}
	}
	c.Close()
	g.expectFailed(t, TLSClientCert, 2)
	if st := testenv.StatsOf(t, g.Server).TLS; st.Resumed != 1 {
		t.Errorf("%d sessions were resumed, want one", st.Resumed)
	}
}

// A program's own configuration is taken, with its certificates and functions.
func TestTLSConfigOfAProgram(t *testing.T) {
	authority := wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, serverName)
	pair, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	cfg := testConfig()
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		select {
		case asked <- h.Conn.RemoteAddr().String():
		default:
		}
		return &pair, nil
	}}
	g := &tlsGateway{trusting: authority.Client(serverName)}
	g.start(t, cfg, nil)
	c := wstest.DialTLS(t, g.trusting, g.addr, "/ws")
	write(t, c, websocket.MessageText, []byte("hello"))
	expectMessage(t, c, []byte("hello"))
	if from := <-asked; !strings.HasPrefix(from, "127.0.0.1") {
		t.Errorf("the program's function is told that the client is %q", from)
	}
	older := g.trusting.Clone()
	older.MaxVersion = tls.VersionTLS12
	if err := g.client(t, older).Handshake(); err == nil {
		t.Error("an older version than the program's least is spoken")
	}
	if err := g.ReloadCertificates(); err != nil {
		t.Errorf("without files there is nothing to go wrong: %v", err)
	}
}
