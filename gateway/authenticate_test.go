package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// A scriptedAuth is an Authenticator that a test makes up.
type scriptedAuth struct {
	judge   func(h *Handshake) (Principal, error) // nil: asks
	ask     func(ctx context.Context, h *Handshake) (Principal, error)
	headers []string
}

func (a scriptedAuth) Judge(h *Handshake) (Principal, error) {
	if a.judge == nil {
		return Principal{}, ErrAsk
	}
	return a.judge(h)
}

func (a scriptedAuth) Ask(ctx context.Context, h *Handshake) (Principal, error) { return a.ask(ctx, h) }

func (a scriptedAuth) Headers() []string { return a.headers }

// named lets everybody with a token in, whom it names, and others as nobody.
func named(grants ...Grant) scriptedAuth {
	return scriptedAuth{judge: func(h *Handshake) (Principal, error) {
		if h.Token == "" {
			return Principal{}, nil
		}
		return Principal{Kind: KindToken, Subject: h.Token, Grants: grants}, nil
	}}
}

// What an authenticator says becomes an answer, at once or behind a question, in words that have
// nothing of the request in them. A request for the room that asks for no WebSocket hears the same,
// or else that it asks for none.
func TestAuthenticatorsVerdictIsTheAnswer(t *testing.T) {
	verdicts := map[string]struct {
		who    Principal
		err    error
		status int
		text   string
	}{
		"in":        {who: Principal{Kind: KindToken, Grants: grants(t, "r=read,publish")}, status: 101},
		"nothing":   {who: Principal{Kind: KindToken}, status: 403, text: "You were not given leave"},
		"nobody":    {status: 401, text: "A token is needed"},
		"expired":   {err: &AuthError{Status: 401, Text: "It has expired."}, status: 401, text: "It has expired."},
		"forbidden": {err: &AuthError{Status: 403, Text: "No."}, status: 403, text: "You were not given leave"},
		"down":      {err: &AuthError{Status: 503, Text: "Nobody is there."}, status: 503, text: "Nobody is there."},
		"odd":       {err: fmt.Errorf("wrapped: %w", &AuthError{Status: 200, Text: "What?"}), status: 503, text: "What?"},
		"other":     {err: errors.New("secret internals"), status: 503, text: "It cannot be said"},
	}
	for _, isAsked := range []bool{false, true} {
		auth := scriptedAuth{judge: func(h *Handshake) (Principal, error) { v := verdicts[h.Token]; return v.who, v.err }}
		if isAsked {
			judge := auth.judge
			auth = scriptedAuth{ask: func(_ context.Context, h *Handshake) (Principal, error) { return judge(h) }}
		}
		var log journal
		cfg := testConfig()
		cfg.Auth = auth
		s, addr := startGatewayLogging(t, cfg, nil, &log)
		for token, want := range verdicts {
			plain := wstest.Connect(t, addr)
			plain.Send(wstest.RequestHead("GET /ws/r HTTP/1.1", "Host: localhost", "Authorization: Bearer "+token))
			foretold, told := plain.Response()
			plain.Close()
			c := wstest.Connect(t, addr)
			c.Send(wstest.UpgradeHead("/ws/r", "Authorization: Bearer "+token))
			r, text := c.Response()
			c.Close()
			switch {
			case want.status == 101:
				if foretold.StatusCode != http.StatusUpgradeRequired {
					t.Errorf("%s, asked %v, without an upgrade: %d %q", token, isAsked, foretold.StatusCode, told)
				}
			case foretold.StatusCode != r.StatusCode, told != text:
				t.Errorf("%s, asked %v, without an upgrade: %d %q instead of %d %q", token, isAsked, foretold.StatusCode, told, r.StatusCode, text)
			}
			if r.StatusCode != want.status || !strings.Contains(text, want.text) {
				t.Errorf("%s, asked %v: %d %q; want %d %q", token, isAsked, r.StatusCode, text, want.status, want.text)
			}
			if got := r.Header.Get("WWW-Authenticate"); (got == "Bearer") != (want.status == 401) {
				t.Errorf("%s: WWW-Authenticate %q", token, got)
			}
			if got := r.Header.Get("Retry-After"); (got != "") != (want.status == 503) {
				t.Errorf("%s: Retry-After %q", token, got)
			}
		}
		st := testenv.StatsOf(t, s)
		if st.Refusals[wsproto.ReasonUnauthorized] != 4 || st.Refusals[wsproto.ReasonForbidden] != 4 || st.Refusals[wsproto.ReasonAuthDown] != 6 {
			t.Errorf("refusals %v", st.Refusals)
		}
		if lines := log.lines("secret internals"); lines != nil {
			t.Errorf("logged %q", lines)
		}
		if lines := log.lines("reason=auth_down"); len(lines) == 0 || !strings.Contains(lines[0], "detail=") {
			t.Errorf("logged %q", lines)
		}
	}
}

// While somebody is asked about a client, its loop serves the others, what it has sent behind its
// request waits and is handled once, and no goroutine stands for it. A program's own server hands
// such clients over as well.
func TestParkedConnectionsHoldNobody(t *testing.T) {
	answer := make(chan struct{})
	cfg := testConfig()
	cfg.Loops, cfg.AuthRequests = 1, 2
	cfg.Auth = scriptedAuth{
		judge: func(h *Handshake) (Principal, error) {
			if h.Token == "slow" {
				return Principal{}, ErrAsk
			}
			return Principal{Kind: KindToken, Grants: grants(t, "*=read,publish")}, nil
		},
		ask: func(ctx context.Context, h *Handshake) (Principal, error) {
			select {
			case <-answer:
			case <-ctx.Done():
			}
			return Principal{Kind: KindToken, Grants: grants(t, "*=read,publish")}, nil
		},
	}
	s, addr := startGateway(t, cfg)
	own := http.Server{Handler: s}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go own.Serve(l)
	t.Cleanup(func() { own.Close() })

	before := runtime.NumGoroutine()
	var parked []*wstest.Client
	for i := range 50 {
		to := addr
		if i%10 == 0 {
			to = l.Addr().String()
		}
		c := wstest.Connect(t, to)
		c.Send(wstest.UpgradeHead("/ws/r", "Authorization: Bearer slow"), wstest.MaskedText("early"))
		parked = append(parked, c)
	}
	testenv.Eventually(t, "all are parked", func() bool {
		n := 0
		onConns(t, s, func(c *conn) {
			if c.isParked() {
				n++
			}
		})
		return n == len(parked)
	})
	testenv.Eventually(t, "only two are asked about at a time", func() bool { return runtime.NumGoroutine() <= before+2+5 })
	quick := wstest.Connect(t, addr)
	quick.Send(wstest.UpgradeHead("/ws/q", "Authorization: Bearer quick"), wstest.MaskedText("a"))
	quick.ExpectUpgrade()
	quick.ExpectFrame(0x1, "a")
	for _, c := range parked {
		c.Send(wstest.MaskedPing("late"))
	}
	close(answer)
	for i, c := range parked {
		c.ExpectUpgrade()
		for pong := false; !pong; {
			f := c.Frame()
			if pong = f.Header.OpCode == 0xA; !pong && string(f.Payload) != "early" {
				t.Fatalf("client %d gets %s", i, wstest.Describe(f))
			}
		}
	}
	if st := testenv.StatsOf(t, s); st.Messages != uint64(len(parked))+1 {
		t.Errorf("%d messages were taken of %d clients", st.Messages, len(parked)+1)
	}
	testenv.Eventually(t, "nobody works at the desk", func() bool {
		s.desk.mu.Lock()
		defer s.desk.mu.Unlock()
		return s.desk.running == 0 && s.desk.waiting.Len() == 0
	})
}

// A15. Whatever a client sends while it is not known yet, its handshake has to be over in time:
// 408, and nobody asks about it any more. Clients that go meanwhile are forgotten, those in line
// too.
func TestA15_NothingProlongsTheHandshake(t *testing.T) {
	var asked, ended atomic.Int64
	cfg := testConfig()
	cfg.HandshakeTimeout, cfg.AuthRequests = 10*time.Second, 3
	cfg.Auth = scriptedAuth{ask: func(ctx context.Context, _ *Handshake) (Principal, error) {
		asked.Add(1)
		<-ctx.Done()
		ended.Add(1)
		return Principal{}, ctx.Err()
	}}
	s, kernel := startStopped(t, cfg, slog.New(slog.DiscardHandler))
	addr := s.Addrs()[0].String()
	var all []*wstest.Client
	for range 8 {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/r"))
		all = append(all, c)
	}
	testenv.Eventually(t, "three are asked about", func() bool { return asked.Load() == 3 })
	waiting := func() int {
		s.desk.mu.Lock()
		defer s.desk.mu.Unlock()
		return s.desk.waiting.Len()
	}
	testenv.Eventually(t, "the others wait", func() bool { return waiting() == 5 })
	gone := 0
	for range 5 { // Some of those asked about and some of those in line.
		all[len(all)-1].Reset()
		all = all[:len(all)-1]
		gone++
		testenv.Eventually(t, "one is forgotten", func() bool { return s.Open() == 8-gone })
	}
	for range 4 {
		for _, c := range all {
			c.TrySend(wstest.MaskedPing("still here"))
		}
		kernel.Pass(2 * time.Second)
	}
	if n := s.Open(); n != len(all) {
		t.Fatalf("%d are left of %d before the time is over", n, len(all))
	}
	kernel.Pass(3 * time.Second)
	for _, c := range all {
		if p, _ := c.Rest(); len(p) > 0 && !strings.HasPrefix(string(p), "HTTP/1.1 408 ") { // A reset may have eaten it.
			t.Errorf("answered with %q", p)
		}
	}
	testenv.Eventually(t, "nobody is asked about any more", func() bool { return ended.Load() == asked.Load() && waiting() == 0 })
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonTimeout] != uint64(len(all)) {
		t.Errorf("%d timeouts, want %d", st.Refusals[wsproto.ReasonTimeout], len(all))
	}
}

// expectDrainRefuses drains a server in which this client is parked, who is told to come again.
func expectDrainRefuses(t *testing.T, s *Server, c *wstest.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	c.ExpectRefusal(http.StatusServiceUnavailable)
	c.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// A drain refuses those that are parked; Close ends whoever is asked.
func TestParkedConnectionsEndWithTheServer(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	cfg := testConfig()
	cfg.DrainTimeout = 5 * time.Second
	cfg.Auth = scriptedAuth{ask: func(ctx context.Context, _ *Handshake) (Principal, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return Principal{}, ctx.Err()
	}}
	s, addr := startGateway(t, cfg)
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/r"))
	<-asked
	expectDrainRefuses(t, s, c)
	s, addr = startGateway(t, cfg)
	c = wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/r"))
	<-asked
	s.Close() // Returns only when the goroutine that asks has ended.
}

// A panic of an authenticator is its request's.
func TestPanicOfAnAuthenticatorIsItsRequests(t *testing.T) {
	var isWell atomic.Bool
	cfg := testConfig()
	cfg.panics = false
	cfg.Auth = scriptedAuth{ask: func(context.Context, *Handshake) (Principal, error) {
		if !isWell.Load() {
			panic("out of order")
		}
		return Principal{Kind: KindToken, Grants: grants(t, "*=read")}, nil
	}}
	s, addr := startGateway(t, cfg)
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/r"))
	c.ExpectRefusal(http.StatusServiceUnavailable)
	c.Close()
	isWell.Store(true)
	wstest.Join(t, addr, "/ws/r")
	if st := testenv.StatsOf(t, s); st.Panics != 1 {
		t.Errorf("%d panics", st.Panics)
	}
}
