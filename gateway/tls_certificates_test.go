package gateway

import (
	"crypto/tls"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
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

// T10: handshakes show the new pair from a reload on, connections that are there go on, and files
// that are no good change nothing.
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

// T10: a certificate whose time is over is shown all the same, and its file is named, once for each
// that is read; also where it is over while the gateway runs.
func TestT10_DatesAreWarnedOf(t *testing.T) {
	cfg := testConfig()
	cfg.certificatesEvery = 10 * time.Millisecond
	var wall atomic.Int64
	wall.Store(time.Now().UnixMilli())
	cfg.wallClock = wall.Load
	g := startTLS(t, cfg)
	warnings := func() []string { return g.log.lines("clients refuse a certificate") }
	replace := func() {
		t.Helper()
		before := g.shown(t, serverName)
		g.authority.Pair(g.pair, serverName)
		testenv.Eventually(t, "the new pair is shown", func() bool { return g.shown(t, serverName) != before })
	}
	replace() // It has looked at the first one's dates before.
	if got := warnings(); len(got) != 0 {
		t.Fatalf("a good one is warned of: %q", got)
	}
	wall.Add((48 * time.Hour).Milliseconds())
	testenv.Eventually(t, "it is warned of", func() bool { return len(warnings()) == 1 })
	if got := warnings()[0]; !strings.Contains(got, "level=WARN") || !strings.Contains(got, "file="+g.pair[0]) || !strings.Contains(got, "until=") {
		t.Errorf("the line is %q", got)
	}
	replace()
	testenv.Eventually(t, "another one is warned of, too", func() bool { return len(warnings()) == 2 })
	wall.Add(-(48 * time.Hour).Milliseconds())
	replace()
	replace()
	if got := warnings(); len(got) != 2 {
		t.Errorf("warnings: %q", got)
	}
}

// T10: the files are watched, by several names; while handshakes come without end each shows a pair
// that was whole.
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

// D07, T10. Other files, and more of them, are taken without a restart; what makes no sense changes
// nothing; and what a listener speaks, or how many handshakes run at a time, does not change at
// all.
func TestD07_T10_OtherCertificatesNeedNoRestart(t *testing.T) {
	cfg := testConfig()
	cfg.certificatesEvery = time.Millisecond
	g := startTLS(t, cfg)
	there := g.join(t, g.trusting, "/ws/x")
	first := g.shown(t, serverName)
	o := cfg.Options
	other := g.authority.Pair([2]string{}, "other.test")
	reload := func() []string {
		t.Helper()
		needs, err := g.Reload(o)
		if err != nil {
			t.Fatal(err)
		}
		return needs
	}

	o.TLSPairs = []TLSPair{{other[0], "/nowhere"}}
	o.MaxMessage = 5
	if _, err := g.Reload(o); err == nil || !strings.Contains(err.Error(), "/nowhere") || g.config().MaxMessage == 5 {
		t.Errorf("a key that is not there: %v, and messages of %d", err, g.config().MaxMessage)
	}
	o.MaxMessage = cfg.MaxMessage
	o.TLSPairs = append(slices.Clone(cfg.TLSPairs), TLSPair{other[0], other[1]})
	o.TLSRunning = 7
	if needs := reload(); !slices.Equal(needs, []string{"TLSRunning"}) {
		t.Errorf("only a restart changes %v, want TLSRunning", needs)
	}
	if g.shown(t, serverName) != first || g.shown(t, "other.test") == first {
		t.Error("a second pair is not shown, or in place of the first")
	}
	// The new files are watched in the old ones' place.
	o.TLSPairs = o.TLSPairs[1:]
	o.TLSRunning = cfg.TLSRunning
	reload()
	second := g.shown(t, "other.test")
	g.authority.Pair(other, "other.test")
	testenv.Eventually(t, "the new files are read when they change", func() bool { return g.shown(t, "other.test") != second })
	// From now on clients have to show a certificate.
	o.TLSClientCA = g.authority.File
	if needs := reload(); needs != nil {
		t.Errorf("only a restart changes %v", needs)
	}
	if _, err := wstest.TryDialTLS(t, g.authority.Client("other.test"), g.addr, "/ws", nil); err == nil {
		t.Error("a client without a certificate is in")
	}
	g.expectFailed(t, TLSClientCert, 1)
	// There is a listener that speaks TLS, so there have to be certificates.
	o.TLSPairs, o.TLSClientCA = nil, ""
	if needs := reload(); !slices.Equal(needs, []string{"TLSPairs", "TLSClientCA"}) {
		t.Errorf("only a restart changes %v, want TLSPairs and TLSClientCA", needs)
	}
	if _, err := there.Write(wstest.MaskedText("still here")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2+len("still here"))
	if _, err := io.ReadFull(there, got); err != nil || string(got[2:]) != "still here" {
		t.Errorf("who was there before heard %q, %v", got, err)
	}
	there.Close()
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
