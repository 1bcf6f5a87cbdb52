package gateway

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// A sealer is a client of TLS 1.3 that seals records of its own, with what no library lets a client
// say: it takes the connection over from crypto/tls, with the secret that this logs for its users'
// sake.
type sealer struct {
	t      testing.TB
	conn   *tls.Conn
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// keyLog keeps one secret of those that crypto/tls writes to it.
type keyLog struct {
	mu     sync.Mutex
	secret string
}

func (k *keyLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if words := strings.Fields(string(p)); words[0] == "CLIENT_TRAFFIC_SECRET_0" {
		k.secret = words[2]
	}
	return len(p), nil
}

const (
	typeHandshake   = 22
	typeApplication = 23
)

// newSealer joins a room, and seals from there on.
func newSealer(t testing.TB, g *tlsGateway, path string) *sealer {
	t.Helper()
	cfg, log := g.trusting.Clone(), &keyLog{}
	cfg.KeyLogWriter, cfg.MinVersion = log, tls.VersionTLS13
	c := tlsOver(t, wstest.Connect(t, g.addr).Narrow(), cfg)
	upgradeOver(t, c, path)
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("crypto/tls prefers %s here, not what this test seals by", tls.CipherSuiteName(suite))
	}
	log.mu.Lock()
	secret, err := hex.DecodeString(log.secret)
	log.mu.Unlock()
	if err != nil || len(secret) != sha256.Size {
		t.Fatalf("no secret: %v", err)
	}
	s := &sealer{t: t, conn: c, seq: 1} // The request was a record.
	s.use(secret)
	return s
}

// expand is HKDF-Expand-Label of RFC 8446 §7.1.
func (s *sealer) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	out, err := hkdf.Expand(sha256.New, s.secret, string(append(info, 0)), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *sealer) use(secret []byte) {
	s.secret = secret
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.t.Fatal(err)
	}
	s.iv = s.expand("iv", 12)
}

// seal makes one record.
func (s *sealer) seal(kind byte, p []byte) []byte {
	n := len(p) + 1 + s.aead.Overhead()
	record := []byte{typeApplication, 3, 3, byte(n >> 8), byte(n)}
	nonce := append([]byte(nil), s.iv...)
	for i, b := range binary.BigEndian.AppendUint64(nil, s.seq) {
		nonce[4+i] ^= b
	}
	s.seq++
	return s.aead.Seal(record, nonce, append(append([]byte(nil), p...), kind), record[:5])
}

// keyUpdate makes one, and goes on with the next key.
func (s *sealer) keyUpdate(wantsOurs bool) []byte {
	record := s.seal(typeHandshake, keyUpdateMessage(wantsOurs))
	s.use(s.expand("traffic upd", sha256.Size))
	s.seq = 0
	return record
}

func keyUpdateMessage(wantsOurs bool) []byte {
	message := []byte{24, 0, 0, 1, 0}
	if wantsOurs {
		message[4] = 1
	}
	return message
}

// send writes below TLS and reports whether the other end takes it.
func (s *sealer) send(p []byte) bool {
	_, err := s.conn.NetConn().Write(p)
	return err == nil
}

// close hears the other end out and closes.
func (s *sealer) close() {
	_, _ = io.Copy(io.Discard, s.conn.NetConn()) // It may be reset.
	s.conn.NetConn().Close()
}

// T04: a few key updates are followed; without end, in one record or each in its own, they end the
// connection, and nothing hangs.
func TestT04_KeyUpdatesWithoutEnd(t *testing.T) {
	g := startTLS(t, testConfig())
	other := wstest.Dial(t, g.plain, "/ws/keys")
	honest := newSealer(t, g, "/ws/keys")
	for i := range 10 {
		honest.send(honest.keyUpdate(i%2 == 0))
		honest.send(honest.seal(typeApplication, wstest.MaskedText("after an update")))
		expectMessage(t, other, []byte("after an update"))
	}
	for name, flood := range map[string]func(s *sealer){
		"each in a record of its own": func(s *sealer) {
			for range 100 {
				s.send(s.keyUpdate(true))
			}
		},
		"all in one record": func(s *sealer) {
			var many []byte
			for range 100 {
				many = append(many, keyUpdateMessage(true)...)
			}
			s.send(s.seal(typeHandshake, many))
		},
	} {
		before := testenv.StatsOf(t, g.Server).Closed[ClosedTLS]
		s := newSealer(t, g, "/ws/keys")
		flood(s)
		s.close()
		expectClosed(t, g.Server, ClosedTLS, before+1)
		t.Log("closed:", name)
	}
	write(t, other, websocket.MessageText, []byte("still here"))
	expectMessage(t, other, []byte("still here"))
}

// A deaf kernel takes nothing any more once it is told to: what a client that does not read makes
// of a real one.
type deafKernel struct {
	*reactortest.Kernel
	isDeaf atomic.Bool
}

func (k *deafKernel) Write(fd int, p []byte) (int, error) {
	if k.isDeaf.Load() {
		return 0, syscall.EAGAIN
	}
	return k.Kernel.Write(fd, p)
}

// T04's relative: each update asks for one of ours and a byte comes with it, so that it is no
// repetition; but what we answer is not read. That is bounded by what a connection may have sealed
// and unsent.
func TestT04_KeyUpdatesOfOneThatDoesNotRead(t *testing.T) {
	kernel := &deafKernel{Kernel: reactortest.New()}
	g := startTLSOn(t, testConfig(), kernel)
	s := newSealer(t, g, "/ws/keys")
	kernel.isDeaf.Store(true)
	frame := wstest.MaskedBinary(strings.Repeat("x", 60_000))
	sent := 0
	for isTaken := true; isTaken; sent++ {
		batch := s.keyUpdate(true)
		at := sent % len(frame)
		isTaken = s.send(append(batch, s.seal(typeApplication, frame[at:at+1])...))
	}
	expectClosed(t, g.Server, ClosedTLS, 1)
	if bound := sealedMax / len(s.keyUpdate(true)); sent < bound {
		t.Errorf("closed after %d updates, though %d answers may wait", sent, bound)
	}
}

// T08: records without anything in them end the connection.
func TestT08_EmptyRecordsWithoutEnd(t *testing.T) {
	g := startTLS(t, testConfig())
	s := newSealer(t, g, "/ws/empty")
	other := wstest.Dial(t, g.plain, "/ws/empty")
	for range 10 { // Some are honest.
		s.send(s.seal(typeApplication, nil))
	}
	s.send(s.seal(typeApplication, wstest.MaskedText("in between")))
	expectMessage(t, other, []byte("in between"))
	for range 100 {
		s.send(s.seal(typeApplication, nil))
	}
	s.close()
	expectClosed(t, g.Server, ClosedTLS, 1)
}

// A record that was changed on its way ends the connection with an alert, which arrives.
func TestTLSForgedRecord(t *testing.T) {
	g := startTLS(t, testConfig())
	s := newSealer(t, g, "/ws/forged")
	record := s.seal(typeApplication, wstest.MaskedText("true"))
	record[len(record)-1] ^= 1
	s.send(record)
	_, err := io.ReadAll(s.conn)
	if err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the client hears %v", err)
	}
	s.conn.Close()
	expectClosed(t, g.Server, ClosedTLS, 1)
}

// T11: what cannot be agreed on is told by an alert and counted by kind; what the client said is
// not in the log. One that resets behind a forged record cannot be told of it: its connection has
// ended by then.
func TestTLSForgedRecordAndReset(t *testing.T) {
	g := startTLS(t, testConfig()) // A panic ends the test.
	forged := append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)
	times := 30
	for range times {
		over := wstest.Connect(t, g.addr)
		tlsOver(t, over, g.trusting)
		_ = over.TCPConn.SetLinger(0)
		over.Send(forged)
		over.Close()
	}
	testenv.Eventually(t, "all are gone", func() bool { return g.Open() == 0 })
}

func TestT11_NothingInCommon(t *testing.T) {
	g := startTLS(t, testConfig())
	for _, c := range []struct {
		name  string
		why   TLSFailure
		alert string
		turn  func(*tls.Config)
	}{
		{"TLS 1.1", TLSVersion, "protocol version", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }},
		{"ciphers for RSA alone", TLSCipher, "handshake failure", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}},
		{"another name", TLSServerName, "unrecognized name", func(c *tls.Config) { c.ServerName = "secret.example" }},
		{"HTTP/2 alone", TLSALPN, "no application protocol", func(c *tls.Config) { c.NextProtos = []string{"h2", "secret\n"} }},
		{"no trust", TLSRefused, "unknown authority", func(c *tls.Config) { c.RootCAs = wstest.NewAuthority(t).Pool }},
	} {
		cfg := g.trusting.Clone()
		c.turn(cfg)
		conn := g.client(t, cfg)
		if err := conn.Handshake(); err == nil || !strings.Contains(err.Error(), c.alert) {
			t.Errorf("%s: the client hears %v", c.name, err)
		}
		conn.Close()
		g.expectFailed(t, c.why, 1)
	}
	for _, line := range g.log.lines("TLS handshake failed") {
		if strings.Contains(line, "secret") {
			t.Errorf("the client's words are in the log: %s", line)
		}
	}
	if got := len(g.log.lines("TLS handshake failed")); got != 5 {
		t.Errorf("%d lines for five kinds of failures", got)
	}
	// By an address no name is asked for, and the first certificate is shown.
	cfg := g.trusting.Clone()
	cfg.ServerName, cfg.InsecureSkipVerify = "", true
	c := g.client(t, cfg)
	if err := c.Handshake(); err != nil {
		t.Errorf("without a name: %v", err)
	}
	c.Close()
}
