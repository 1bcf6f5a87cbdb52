package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// A tlsGateway listens for plain connections and, beside them, for TLS.
type tlsGateway struct {
	*Server
	plain, addr string
	authority   *wstest.Authority
	pair        [2]string
	trusting    *tls.Config // a client's
	log         journal
}

// serverName is whom its certificate is for.
const serverName = "sluice.test"

// startTLS runs a gateway on two loopback ports until the test ends.
func startTLS(t testing.TB, cfg *config) *tlsGateway { return startTLSOn(t, cfg, nil) }

func startTLSOn(t testing.TB, cfg *config, kernel reactor.Kernel) *tlsGateway {
	t.Helper()
	g := &tlsGateway{authority: wstest.NewAuthority(t)}
	g.pair = g.authority.Pair([2]string{}, serverName)
	g.trusting = g.authority.Client(serverName)
	cfg.TLSPairs = append([]TLSPair{{g.pair[0], g.pair[1]}}, cfg.TLSPairs...)
	if cfg.TLSClientCA == "own" {
		cfg.TLSClientCA = g.authority.File
	}
	g.start(t, cfg, kernel)
	return g
}

func (g *tlsGateway) start(t testing.TB, cfg *config, kernel reactor.Kernel) {
	t.Helper()
	g.Server = newGateway(t, cfg, kernel, &g.log)
	for _, o := range []ListenOptions{{}, {TLS: true}} {
		if err := g.ListenWith("127.0.0.1:0", o); err != nil {
			t.Fatal(err)
		}
	}
	g.Server.start()
	t.Cleanup(func() { g.Close(); checkAccounts(t, g.Server) })
	g.plain, g.addr = g.Addrs()[0].String(), g.Addrs()[1].String()
}

// client is a TLS connection that writes chosen bytes.
func (g *tlsGateway) client(t testing.TB, cfg *tls.Config) *tls.Conn {
	t.Helper()
	return tlsOver(t, wstest.Connect(t, g.addr), cfg)
}

func tlsOver(t testing.TB, over *wstest.Client, cfg *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(over.TCPConn, cfg)
	if err := c.SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// join opens a WebSocket over it.
func (g *tlsGateway) join(t testing.TB, cfg *tls.Config, path string) *tls.Conn {
	t.Helper()
	c := g.client(t, cfg)
	upgradeOver(t, c, path)
	return c
}

func upgradeOver(t testing.TB, c *tls.Conn, path string) {
	t.Helper()
	if _, err := c.Write(wstest.UpgradeHead(path)); err != nil {
		t.Fatal(err)
	}
	expectSwitching(t, c)
}

// expectSwitching reads the answer to an upgrade and nothing behind it.
func expectSwitching(t testing.TB, c io.Reader) {
	t.Helper()
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatalf("after %q: %v", head, err)
		}
		head = append(head, one[0])
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		t.Fatalf("answered %q", head)
	}
}

// readFrame reads a frame of a server's.
func readFrame(r io.Reader) (ws.Header, []byte, error) {
	h, err := ws.ReadHeader(r)
	if err != nil || h.Length > 1<<20 {
		return h, nil, err
	}
	p := make([]byte, h.Length)
	_, err = io.ReadFull(r, p)
	return h, p, err
}

func (g *tlsGateway) expectFailed(t testing.TB, why TLSFailure, n uint64) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d handshakes failed: %v", n, why), func() bool {
		return testenv.StatsOf(t, g.Server).TLS.Failed[why] == n
	})
}

func write(t testing.TB, c *websocket.Conn, kind websocket.MessageType, p []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := c.Write(ctx, kind, p); err != nil {
		t.Fatal(err)
	}
}

func expectMessage(t testing.TB, c *websocket.Conn, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, want %d, or they differ: %v", len(got), len(want), err)
	}
}
