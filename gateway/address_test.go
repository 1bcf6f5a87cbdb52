package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"

	gorilla "github.com/gorilla/websocket"

	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// A far kernel lets connections come from wherever the test says: all clients of a test are on
// loopback, which no limit counts.
type farKernel struct {
	*reactortest.Kernel
	asked atomic.Int64
	from  atomic.Value // string: the address of those who connect from now on
}

func (k *farKernel) PeerAddress(int) (netip.Addr, error) {
	k.asked.Add(1)
	return netip.ParseAddr(k.from.Load().(string))
}

func newFarKernel(from string) *farKernel {
	k := &farKernel{Kernel: reactortest.New()}
	k.from.Store(from)
	return k
}

// expectTurnedAway connects with an independent client, which must hear 503 and when to come back.
// It is not net/http's, which on loopback may get the answer before it has begun to send its
// request, and then does not take it for one.
func expectTurnedAway(t testing.TB, addr, path string) {
	t.Helper()
	d := gorilla.Dialer{HandshakeTimeout: testenv.Patience}
	_, r, err := d.DialContext(t.Context(), "ws://"+addr+path, http.Header{})
	if err == nil || r == nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("got %v, %v; want 503", r, err)
	}
	n, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || n < 1 || n > retryMax {
		t.Errorf("Retry-After %q, want 1 to %d", r.Header.Get("Retry-After"), retryMax)
	}
}

func TestConnectionsFromOneAddressAreLimited(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPerAddress = 2
	kernel := newFarKernel("203.0.113.5")
	s, addr := startGatewayOn(t, cfg, kernel)
	a, b := wstest.Join(t, addr, "/ws"), wstest.Join(t, addr, "/ws")
	expectTurnedAway(t, addr, "/ws")
	if st := testenv.StatsOf(t, s); st.Rejected != 1 || st.Refusals[wsproto.ReasonAddress] != 1 {
		t.Errorf("%d turned away, %d for their address; want 1, 1", st.Rejected, st.Refusals[wsproto.ReasonAddress])
	}
	kernel.from.Store("203.0.113.6")
	other := wstest.Join(t, addr, "/ws")
	other.Send(wstest.MaskedText("who stays is not disturbed"))
	for _, c := range []*wstest.Client{a, b, other} {
		c.ExpectFrame(ws.OpText, "who stays is not disturbed")
	}
	// However a connection ends, its address has a place again.
	kernel.from.Store("203.0.113.5")
	for name, end := range map[string]func(c *wstest.Client){
		"close":  func(c *wstest.Client) { c.Send(wstest.MaskedClose(1000, "")); c.ExpectClose(1000); c.Close() },
		"vanish": func(c *wstest.Client) { c.Close() },
		"reset":  func(c *wstest.Client) { c.Reset() },
		"violation": func(c *wstest.Client) {
			c.Send(wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask))
			c.ExpectClose(1002)
			c.Close()
		},
	} {
		end(b)
		testenv.Eventually(t, name+" makes room", func() bool { return s.Open() == 2 })
		b = wstest.Join(t, addr, "/ws")
		expectTurnedAway(t, addr, "/ws")
	}
	a.Close()
	b.Close()
	other.Close()
	expectNobodyCounted(t, s)
}

func expectNobodyCounted(t testing.TB, s *Server) {
	t.Helper()
	testenv.Eventually(t, "nobody is counted any more", func() bool {
		s.admission.mu.Lock()
		defer s.admission.mu.Unlock()
		return len(s.admission.conns) == 0 && s.Open() == 0
	})
}

// A connection that is lent to net/http is still its client's, and so it is when it comes back to
// ask for an upgrade.
func TestLentConnectionsCountForTheirAddress(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPerAddress = 1
	s, addr := startGatewayOn(t, cfg, newFarKernel("2001:db8::1"))
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/"))
	c.Response()
	expectTurnedAway(t, addr, "/ws")
	c.Send(wstest.UpgradeHead("/ws"))
	c.ExpectUpgrade()
	expectTurnedAway(t, addr, "/ws")
	if st := testenv.StatsOf(t, s); st.Lent != 1 || st.Returned != 1 {
		t.Errorf("%d lent, %d returned; want 1, 1", st.Lent, st.Returned)
	}
	c.Close()
	expectNobodyCounted(t, s)

	c = wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/"))
	c.Response()
	c.Close()
	expectNobodyCounted(t, s)
}

func TestAddressesAreCountedByNetworkAndExemptions(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPerAddress = 1
	for _, p := range []string{"10.0.0.0/8", "192.0.2.7/32", "2001:db8:ffff::/48"} {
		cfg.TrustedProxy = append(cfg.TrustedProxy, netip.MustParsePrefix(p))
	}
	for _, tc := range []struct {
		name     string
		from     []string
		admitted int
	}{
		{"one_IPv4_address", []string{"203.0.113.1", "203.0.113.1"}, 1},
		{"neighbours_in_IPv4", []string{"203.0.113.1", "203.0.113.2"}, 2},
		{"one_/64", []string{"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"}, 1},
		{"two_/64", []string{"2001:db8:0:1::1", "2001:db8:0:2::1"}, 2},
		{"link_local_with_and_without_zone", []string{"fe80::1%eth0", "fe80::2"}, 1},
		{"loopback", []string{"127.0.0.1", "127.0.0.1", "127.9.9.9", "::1", "::1"}, 5},
		{"proxies", []string{"10.1.2.3", "10.1.2.3", "192.0.2.7", "192.0.2.7", "2001:db8:ffff::1", "2001:db8:ffff::1"}, 6},
		{"beside_a_proxy", []string{"192.0.2.8", "192.0.2.8"}, 1},
	} {
		a := newAdmission(cfg)
		admitted := 0
		for _, from := range tc.from {
			var key netip.Addr
			if ip := netip.MustParseAddr(from); a.counts(ip) {
				key = addressKey(ip)
			}
			switch reason := a.enter(key, time.Second); reason {
			case 0:
				admitted++
				defer a.leave(key)
			case wsproto.ReasonAddress:
			default:
				t.Errorf("%s: refused for %v", tc.name, reason)
			}
		}
		if admitted != tc.admitted {
			t.Errorf("%s: %d admitted, want %d", tc.name, admitted, tc.admitted)
		}
	}
}

// The defaults cost no system call, and clients of this machine are not counted when a limit is
// set.
func TestAddressesAreAskedForOnlyIfALimitWantsThem(t *testing.T) {
	kernel := newFarKernel("203.0.113.5")
	_, addr := startGatewayOn(t, testConfig(), kernel)
	for range 3 {
		wstest.Join(t, addr, "/ws").Close()
	}
	if n := kernel.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
	cfg := testConfig()
	cfg.MaxPerAddress, cfg.ConnectRate = 1, 1
	_, addr = startGateway(t, cfg)
	for range 5 {
		wstest.Join(t, addr, "/ws")
	}
}

// Concurrent arrivals on two listeners' loops are counted exactly.
func TestAddressLimitIsExact(t *testing.T) {
	const most = 50
	cfg := testConfig()
	cfg.MaxPerAddress = most
	a, key := newAdmission(cfg), netip.MustParseAddr("203.0.113.1")
	var in, peak atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				if a.enter(key, 0) != 0 {
					continue
				}
				for n := in.Add(1); ; {
					if p := peak.Load(); n <= p || peak.CompareAndSwap(p, n) {
						break
					}
				}
				a.stay(key) // As lending does: for a moment it is in two hands.
				a.leave(key)
				in.Add(-1)
				a.leave(key)
			}
		})
	}
	wg.Wait()
	if peak.Load() > most || len(a.conns) != 0 {
		t.Errorf("%d at a time, %d addresses left; want at most %d and none", peak.Load(), len(a.conns), most)
	}
}

// A bucket lets through its rate over any time, and beside that one second's worth at once.
func TestBucketHoldsOneSecondsWorth(t *testing.T) {
	for _, rate := range []int64{1, 3, 100, 1_000_000} {
		var b bucket
		taken, start := int64(0), time.Hour
		for now := start; now < start+10*time.Second; now += 50 * time.Millisecond {
			for range 2_000_000 {
				if !b.tryTake(rate, now) {
					break
				}
				taken++
			}
		}
		if want := rate + rate*10; taken < want-rate/10-1 || taken > want+rate/10+1 {
			t.Errorf("rate %d: %d in ten seconds, want about %d", rate, taken, want)
		}
		if lacks := b.take(int(2*rate), rate, start+20*time.Second); lacks < 990*time.Millisecond || lacks > 1010*time.Millisecond {
			t.Errorf("rate %d: two seconds' worth from a full bucket lacks %v, want about 1s", rate, lacks)
		}
	}
}

// At full size it is 10,000 clients in a second and a minute for all of them: here it is 500, with
// an admission of 100 a second, and they wait a tenth of what they are told.
func TestS11_AllGetInWhoComeBackWhenTheyAreTold(t *testing.T) {
	t.Parallel()
	clients := 250
	if testenv.IsWholeSize(t) {
		clients = 500
	}
	cfg := testConfig()
	cfg.ConnectRate = 100
	s, addr := startGatewayOn(t, cfg, newFarKernel("203.0.113.5"))
	var refused atomic.Int64
	var told [retryMax + 1]atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for i := range clients {
		wg.Go(func() {
			d := gorilla.Dialer{HandshakeTimeout: testenv.Patience}
			for time.Since(start) < 2*testenv.Patience {
				c, r, err := d.Dial(fmt.Sprintf("ws://%s/ws/%d", addr, i%10), http.Header{})
				if err == nil {
					c.Close()
					return
				}
				if r == nil || r.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("client %d: %v, %v; want 101 or 503", i, r, err)
					return
				}
				refused.Add(1)
				n, err := strconv.Atoi(r.Header.Get("Retry-After"))
				if err != nil || n < 1 || n > retryMax {
					t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
					return
				}
				told[n].Add(1)
				time.Sleep(time.Duration(n) * 100 * time.Millisecond)
			}
			t.Errorf("client %d never got in", i)
		})
	}
	wg.Wait()
	took := time.Since(start)
	st := testenv.StatsOf(t, s)
	t.Logf("%d clients were in after %v; %d refusals", clients, took, refused.Load())
	if least := time.Duration(clients-2*cfg.ConnectRate) * time.Second / time.Duration(cfg.ConnectRate); took < least {
		t.Errorf("all were in after %v: that is more than the rate and a burst", took)
	}
	if n := refused.Load(); n == 0 || st.Refusals[wsproto.ReasonConnectRate] != uint64(n) || st.Rejected != uint64(n) {
		t.Errorf("%d refusals seen, %d counted, %d turned away", n, st.Refusals[wsproto.ReasonConnectRate], st.Rejected)
	}
	for n := range told[1:] {
		if refused.Load() > 200 && told[n+1].Load() == 0 {
			t.Errorf("nobody was told to wait %d s: there is little jitter", n+1)
		}
	}
	expectNobodyCounted(t, s)
}
