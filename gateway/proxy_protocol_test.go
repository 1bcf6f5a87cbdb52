package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

var onLoopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// startAnnounced runs a gateway that takes PROXY headers on its one address.
func startAnnounced(t testing.TB, cfg *config, speaks ListenOptions) (*Server, string, *journal) {
	t.Helper()
	log := &journal{}
	s := newGateway(t, cfg, nil, log)
	if err := s.ListenWith("127.0.0.1:0", speaks); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	return s, s.Addrs()[0].String(), log
}

// proxyV2 is a header of the second version as the specification writes it down.
func proxyV2(command, family byte, length int, rest []byte) []byte {
	p := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	return append(binary.BigEndian.AppendUint16(p, uint16(length)), rest...)
}

func proxyV2Of(from, to string) []byte {
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	family := byte(0x11)
	if a.Addr().Is6() {
		family = 0x21
	}
	rest := append(a.Addr().AsSlice(), b.Addr().AsSlice()...)
	rest = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(rest, a.Port()), b.Port())
	rest = append(rest, 0x04, 0, 3, 'a', 'b', 'c') // PP2_TYPE_NOOP, which is to be skipped
	return proxyV2(1, family, len(rest), rest)
}

// A14: headers of both versions, whole or byte by byte, with the request behind them in the same
// segment; handlers are told the client.
func TestA14_ProxyHeadersAreTaken(t *testing.T) {
	cfg := testConfig()
	cfg.TrustedProxy, cfg.MaxPerAddress = onLoopback, 1000
	cfg.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	_, addr, _ := startAnnounced(t, cfg, ListenOptions{ProxyProtocol: true})
	for _, c := range []struct {
		name   string
		header []byte
		from   string
	}{
		{"v1", []byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n"), "203.0.113.7:0"},
		{"v1 over IPv6", []byte("PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n"), "[2001:db8::7]:0"},
		{"v1 that knows nobody", []byte("PROXY UNKNOWN\r\n"), "127.0.0.1"},
		{"v1 that knows nobody, and says more", []byte("PROXY UNKNOWN ffff::1 ffff::1 1 1\r\n"), "127.0.0.1"},
		{"v2", proxyV2Of("203.0.113.7:4711", "192.0.2.1:80"), "203.0.113.7:0"},
		{"v2 over IPv6", proxyV2Of("[2001:db8::7]:4711", "[2001:db8::1]:80"), "[2001:db8::7]:0"},
		{"v2 of the proxy itself", proxyV2(0, 0, 0, nil), "127.0.0.1"},
		{"v2 of a unix socket", proxyV2(1, 0x31, 216, make([]byte, 216)), "127.0.0.1"},
	} {
		for _, whole := range []bool{true, false} {
			client := wstest.Connect(t, addr)
			if whole {
				client.Send(c.header, wstest.PlainGet("/"))
			} else {
				for i := range c.header {
					client.Send(c.header[i : i+1])
				}
				client.Send(wstest.PlainGet("/"))
			}
			if _, body := client.Response(); !strings.HasPrefix(body, c.from) {
				t.Errorf("%s, whole %v: a handler is told that the client is %s, want %s", c.name, whole, body, c.from)
			}
			// The connection is the client's for all of its requests.
			client.Send(wstest.PlainGet("/"))
			if _, body := client.Response(); !strings.HasPrefix(body, c.from) {
				t.Errorf("%s, the second request: a handler is told that the client is %s", c.name, body)
			}
			client.Close()
		}
	}
}

// A14: what is no header, or comes from nobody who may send one, is closed without a word, and the
// log says so.
func TestA14_WhatIsNoProxyHeaderIsClosed(t *testing.T) {
	cfg := testConfig()
	cfg.TrustedProxy = onLoopback
	s, addr, log := startAnnounced(t, cfg, ListenOptions{ProxyProtocol: true})
	bad := map[string][]byte{
		"a request":                    wstest.UpgradeHead("/ws"),
		"v2 of 65,535 bytes":           proxyV2(1, 0x11, 65535, make([]byte, 100)),
		"v2 shorter than its family":   proxyV2(1, 0x11, 4, make([]byte, 4)),
		"v2 of another version":        append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x11, 0x11, 0, 0),
		"108 bytes without a line end": []byte("PROXY TCP4 " + strings.Repeat("1", 97)),
		"v1 with nonsense":             []byte("PROXY TCP4 203.0.113.7\r\n"),
		"v1 of a third family":         []byte("PROXY TCP5 203.0.113.7 192.0.2.1 1 1\r\n"),
	}
	for name, p := range bad {
		c := wstest.Connect(t, addr)
		c.Send(p)
		if rest, err := c.Rest(); len(rest) > 0 {
			t.Errorf("%s: answered %q, %v", name, rest, err)
		}
	}
	expectClosed(t, s, ClosedProxyHeader, uint64(len(bad)))
	if len(log.lines("closed on a listener for the PROXY protocol")) == 0 {
		t.Error("nothing in the log")
	}
}

func TestA14_ProxyHeaderFromSomebodyElseIsClosed(t *testing.T) {
	cfg := testConfig()
	cfg.TrustedProxy = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s, addr, log := startAnnounced(t, cfg, ListenOptions{ProxyProtocol: true})
	c := wstest.Connect(t, addr)
	c.Send([]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n"), wstest.UpgradeHead("/ws"))
	if rest, _ := c.Rest(); len(rest) > 0 {
		t.Errorf("answered %q", rest)
	}
	expectClosed(t, s, ClosedProxyHeader, 1)
	if len(log.lines("--trusted-proxy")) == 0 {
		t.Error("the log does not say who may")
	}
}

// A14: on a listener for something else a header is no request.
func TestA14_ProxyHeaderWhereNoneBelongs(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	for _, p := range [][]byte{[]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n"), proxyV2Of("203.0.113.7:4711", "192.0.2.1:80")} {
		c := wstest.Connect(t, addr)
		c.Send(p, wstest.UpgradeHead("/ws"))
		c.ExpectRefusal(http.StatusBadRequest)
	}
}

// A header that does not come is waited for no longer than a request.
func TestA14_ProxyHeaderThatDoesNotCome(t *testing.T) {
	cfg := testConfig()
	cfg.TrustedProxy, cfg.HandshakeTimeout = onLoopback, 50*time.Millisecond
	s, addr, _ := startAnnounced(t, cfg, ListenOptions{ProxyProtocol: true})
	c := wstest.Connect(t, addr)
	c.Send([]byte("PROXY TC"))
	if rest, _ := c.Rest(); len(rest) > 0 {
		t.Errorf("answered %q", rest)
	}
	expectClosed(t, s, ClosedSilent, 1)
}

// Limits and logs mean the client that the header names, in front of TLS as well.
func TestA14_LimitsMeanTheClient(t *testing.T) {
	for _, speaks := range []ListenOptions{{ProxyProtocol: true}, {ProxyProtocol: true, TLS: true}} {
		t.Run(fmt.Sprintf("%+v", speaks), func(t *testing.T) {
			authority := wstest.NewAuthority(t)
			files := authority.Pair([2]string{}, serverName)
			cfg := testConfig()
			cfg.TLSPairs = []TLSPair{{files[0], files[1]}}
			cfg.TrustedProxy, cfg.MaxPerAddress = onLoopback, 2
			s, addr, log := startAnnounced(t, cfg, speaks)
			from := func(client string) net.Conn {
				c := wstest.Connect(t, addr)
				c.Send(proxyV2Of(client+":1", "192.0.2.1:80"))
				if !speaks.TLS {
					return c.TCPConn
				}
				return tlsOver(t, c, authority.Client(serverName))
			}
			upgrade := func(c net.Conn) error {
				if _, err := c.Write(wstest.UpgradeHead("/ws/x")); err != nil {
					return err
				}
				head := make([]byte, 12)
				if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 101" {
					return fmt.Errorf("%q, %w", head, err)
				}
				return nil
			}
			var first net.Conn
			for range 2 {
				c := from("203.0.113.7")
				if err := upgrade(c); err != nil {
					t.Fatal(err)
				}
				first = c
			}
			third := from("203.0.113.7")
			if err := upgrade(third); err == nil {
				t.Error("a third one of the same client is in")
			}
			third.Close()
			if err := upgrade(from("203.0.113.8")); err != nil {
				t.Errorf("another client: %v", err)
			}
			if speaks.TLS {
				first.Close()
			} else {
				if _, err := first.Write(wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask)); err != nil { // No such frame.
					t.Fatal(err)
				}
				testenv.Eventually(t, "it is logged", func() bool { return len(log.lines("from=203.0.113.7")) > 0 })
				first.Close()
			}
			testenv.Eventually(t, "its place is free", func() bool { return s.Open() == 2 })
			if err := upgrade(from("203.0.113.7")); err != nil {
				t.Errorf("after one has left: %v", err)
			}
		})
	}
}

// A12: X-Forwarded-For counts from a trusted proxy alone, and of it what trusted ones wrote.
func TestA12_ForwardedForIsBelievedOfTrustedProxies(t *testing.T) {
	t.Parallel()
	const chain = "203.0.113.7"
	for _, c := range []struct {
		name    string
		by      ForwardedHeader
		headers []string
		from    string // whom it counts for; the proxy itself where nobody is named
	}{
		{"one address", XForwardedFor, []string{"X-Forwarded-For: 203.0.113.7"}, chain},
		{"with a port", XForwardedFor, []string{"x-forwarded-for: 203.0.113.7:4711"}, chain},
		{"what the client wrote stands left", XForwardedFor, []string{"X-Forwarded-For: 198.51.100.9, 203.0.113.7"}, chain},
		{"trusted ones stand right", XForwardedFor, []string{"X-Forwarded-For: 198.51.100.9, 203.0.113.7, 127.0.0.9"}, chain},
		{"in two lines", XForwardedFor, []string{"X-Forwarded-For: 198.51.100.9", "X-Forwarded-For: 203.0.113.7"}, chain},
		{"all are trusted", XForwardedFor, []string{"X-Forwarded-For: 127.0.0.8, 127.0.0.9"}, "127.0.0.8"},
		{"nonsense at the right", XForwardedFor, []string{"X-Forwarded-For: 203.0.113.7, unknown"}, ""},
		{"nonsense left of a trusted one", XForwardedFor, []string{"X-Forwarded-For: <script>, 127.0.0.9"}, "127.0.0.9"},
		{"nonsense left of the client", XForwardedFor, []string{"X-Forwarded-For: ,, \x80, 203.0.113.7 ,"}, chain},
		{"a hundred", XForwardedFor, []string{"X-Forwarded-For: " + strings.Repeat("198.51.100.9, ", 99) + chain}, chain},
		{"IPv6", XForwardedFor, []string{"X-Forwarded-For: 2001:db8::7"}, "2001:db8::7"},
		{"IPv4 in IPv6", XForwardedFor, []string{"X-Forwarded-For: ::ffff:203.0.113.7"}, chain},
		{"the other header", XForwardedFor, []string{"Forwarded: for=203.0.113.7"}, ""},
		{"Forwarded", Forwarded, []string{`Forwarded: for=198.51.100.9, proto=https;For="203.0.113.7:1234";by=x`, "X-Forwarded-For: 192.0.2.9"}, chain},
		{"Forwarded of IPv6", Forwarded, []string{`Forwarded: for="[2001:db8::7]:4711"`}, "2001:db8::7"},
		{"Forwarded that hides", Forwarded, []string{`Forwarded: for=203.0.113.7, for=_hidden`}, ""},
		{"Forwarded of a trusted one's", Forwarded, []string{`Forwarded: for=203.0.113.7, for=127.0.0.9;by=127.0.0.10`}, chain},
		// A proxy passes its client's Host on in quotes.
		{"Forwarded with a comma in quotes behind", Forwarded, []string{`Forwarded: for=203.0.113.7;host="a,for=6.6.6.6"`}, chain},
		{"Forwarded with a comma in quotes before", Forwarded, []string{`Forwarded: host="a,for=6.6.6.6";for=203.0.113.7`}, chain},
		{"Forwarded with a semicolon in quotes", Forwarded, []string{`Forwarded: host="a;for=6.6.6.6";for=203.0.113.7`}, chain},
		{"Forwarded with an escaped quote", Forwarded, []string{`Forwarded: for=6.6.6.6, for=203.0.113.7;host="a\\\",for=6.6.6.6;\""`}, chain},
		{"Forwarded with an open quote of the client's", Forwarded, []string{`Forwarded: for="6.6.6.6, for=203.0.113.7`}, chain},
		{"Forwarded that names two", Forwarded, []string{`Forwarded: for=6.6.6.6;for=203.0.113.7`}, ""},
		{"none is believed", NoForwarded, []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.TrustedProxy, cfg.MaxPerAddress, cfg.ForwardedHeader = onLoopback, 1, c.by
			cfg.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
			s, addr := startGateway(t, cfg)
			page := wstest.Connect(t, addr)
			page.Send(wstest.PlainGet("/", c.headers...))
			_, told := page.Response()
			host, port, err := net.SplitHostPort(told)
			if c.from == "" && (host != "127.0.0.1" || port == "0") || c.from != "" && host != c.from || err != nil {
				t.Errorf("a handler is told that the client is %s, want %q", told, c.from)
			}
			page.Close()
			first := wstest.Connect(t, addr)
			first.Send(wstest.UpgradeHead("/ws/x", c.headers...))
			first.ExpectUpgrade()
			second := wstest.Connect(t, addr)
			second.Send(wstest.UpgradeHead("/ws/x", c.headers...))
			isCounted := c.from != "" && !strings.HasPrefix(c.from, "127.")
			if isCounted {
				second.ExpectRefusal(http.StatusServiceUnavailable)
			} else {
				second.ExpectUpgrade()
			}
			first.Close()
			second.Close()
			testenv.Eventually(t, "all have left", func() bool { return s.Open() == 0 })
			s.admission.mu.Lock()
			defer s.admission.mu.Unlock()
			if len(s.admission.conns) != 0 {
				t.Errorf("addresses are kept of connections that are gone: %v", s.admission.conns)
			}
		})
	}
}

// A14: a limit for the client that a PROXY header in front of TLS has named is a refusal like any
// other, though there is nobody yet who could read it.
func TestA14_LimitsInFrontOfTLSAreCounted(t *testing.T) {
	files := wstest.NewAuthority(t).Pair([2]string{}, serverName)
	cfg := testConfig()
	cfg.TLSPairs = []TLSPair{{files[0], files[1]}}
	cfg.TrustedProxy, cfg.MaxPerAddress = onLoopback, 1
	s, addr, _ := startAnnounced(t, cfg, ListenOptions{ProxyProtocol: true, TLS: true})
	for range 3 {
		wstest.Connect(t, addr).Send(proxyV2Of("203.0.113.7:1", "192.0.2.1:80"))
	}
	testenv.Eventually(t, "two are refused", func() bool { return testenv.StatsOf(t, s).Refusals[wsproto.ReasonAddress] == 2 })
	if st := testenv.StatsOf(t, s); st.TLS.Failed != [NumTLSFailures]uint64{} || st.Closed[ClosedRefused] != 2 {
		t.Errorf("failed handshakes %v, %d refused; want none and 2", st.TLS.Failed, st.Closed[ClosedRefused])
	}
}

// A12: nobody else is believed.
func TestA12_ForwardedForOfAnybodyIsIgnored(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPerAddress, cfg.TrustedProxy = 1, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	_, addr := startGatewayOn(t, cfg, newFarKernel("198.51.100.1"))
	for i, claimed := range []string{"203.0.113.7", "203.0.113.8"} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/x", "X-Forwarded-For: "+claimed))
		if i == 0 {
			c.ExpectUpgrade()
			continue
		}
		c.ExpectRefusal(http.StatusServiceUnavailable) // Both count for where they come from.
	}
}

// A12: behind a unix socket, whose mode says who may connect, a proxy is believed.
func TestA12_ForwardedForOverAUnixSocket(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPerAddress = 1
	s := newGateway(t, cfg, nil, testenv.LogTo(t))
	path := t.TempDir() + "/s"
	if err := s.Listen("unix:" + path); err != nil {
		s.Close()
		testenv.LeaveOut(t, "there are no unix sockets: %v", err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	for i, want := range []string{"HTTP/1.1 101", "HTTP/1.1 503"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(wstest.UpgradeHead("/ws/x", "X-Forwarded-For: 203.0.113.7")); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, len(want))
		if _, err := io.ReadFull(c, head); err != nil || !bytes.Equal(head, []byte(want)) {
			t.Errorf("connection %d is answered %q, %v", i, head, err)
		}
	}
}

// A proxy that carries many clients' messages is one connection for each of them; their frames are
// theirs.
func TestA14_ClientsOfAProxyTalk(t *testing.T) {
	cfg := testConfig()
	cfg.TrustedProxy = onLoopback
	_, addr, _ := startAnnounced(t, cfg, ListenOptions{ProxyProtocol: true})
	var all []*wstest.Client
	for i := range 3 {
		c := wstest.Connect(t, addr)
		c.Send(proxyV2Of(fmt.Sprintf("203.0.113.%d:1", i), "192.0.2.1:80"), wstest.UpgradeHead("/ws/x"))
		c.ExpectUpgrade()
		all = append(all, c)
	}
	all[0].Send(wstest.MaskedText("hello"))
	for _, c := range all {
		c.ExpectFrame(ws.OpText, "hello")
	}
}
