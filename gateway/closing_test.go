package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// announced is the header of a binary frame of size bytes, masked with zeros.
func announced(size int) []byte {
	return wstest.FrameBytes(0x82, 0xff, []byte{0, 0, 0, 0, byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, wstest.ZeroMask)
}

// A client in the middle of a long message hears why it is closed although it sends the rest first,
// as libraries do that have one queue. Relatives: every other reason that closes a sender, refused
// requests with a body, and a gateway that goes away.
func TestN30_WhoSendsOnHearsWhyItIsClosed(t *testing.T) {
	const rest = 24 << 20
	junk := make([]byte, rest)
	rated := func(cfg *config) { cfg.FrameRate = 100 }
	framed := bytes.Repeat(wstest.MaskedBinary(string(make([]byte, 1<<10))), rest>>10)
	for _, c := range []struct {
		name   string
		change func(*config)
		sent   [][]byte
		code   ws.StatusCode
	}{
		{"too big", nil, [][]byte{announced(rest), junk}, 1009},
		{"over a rate", rated, [][]byte{framed}, 1008},
		{"reserved bits", nil, [][]byte{{0xb2}, announced(rest)[1:], junk}, 1002},
		{"unmasked", nil, [][]byte{{0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0}, junk}, 1002},
		{"not UTF-8", nil, [][]byte{wstest.MaskedText("\xff"), framed}, 1007},
		{
			"too many fragments", func(cfg *config) { cfg.MaxFragments = 2 },
			[][]byte{wstest.Masked(ws.OpText, false, "a"), bytes.Repeat(wstest.Masked(ws.OpContinuation, false, "b"), 1<<20)},
			1008,
		},
		{"its own Close", nil, [][]byte{wstest.MaskedClose(4000, ""), junk}, 4000},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig()
			if c.change != nil {
				c.change(cfg)
			}
			s, addr := startGateway(t, cfg)
			client := wstest.Join(t, addr, "/ws/r")
			client.Send(c.sent...) // Fails if the connection is reset.
			client.EndWrites()
			if code, _ := wstest.CloseCode(client); code != c.code {
				t.Errorf("closed with %d, want %d", code, c.code)
			}
			client.ExpectEnd()
			if st := testenv.StatsOf(t, s); st.CutShort != 0 {
				t.Errorf("%d were cut short", st.CutShort)
			}
		})
	}

	t.Run("a refused request", func(t *testing.T) {
		_, addr := startGateway(t, testConfig())
		client := wstest.Connect(t, addr)
		client.Send(wstest.RequestHead("POST /ws/r HTTP/1.1", fmt.Sprint("Content-Length: ", rest)), junk)
		client.EndWrites()
		if r, _ := client.ResponseTo("POST"); r.StatusCode != http.StatusMethodNotAllowed && r.StatusCode != http.StatusBadRequest {
			t.Errorf("answered with %d", r.StatusCode)
		}
		client.ExpectEnd()
	})

	t.Run("going away", func(t *testing.T) {
		s, addr := startGateway(t, testConfig())
		client := wstest.Join(t, addr, "/ws/r")
		client.Send(announced(1<<20), junk[:512<<10])
		testenv.Eventually(t, "the gateway has its message in part", func() bool { return s.Open() == 1 && testenv.StatsOf(t, s).Upgrades == 1 })
		drained := make(chan error, 1)
		go func() { drained <- s.Drain(t.Context()) }()
		if f := client.Frame(); f.Header.OpCode != ws.OpClose {
			t.Fatalf("got %v", wstest.Describe(f))
		}
		client.Send(junk) // It has not looked yet.
		client.EndWrites()
		client.ExpectEnd()
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// lingerer starts a gateway on a clock that stands and has a client break a rule. It returns when
// all that is due to the client has been written.
func lingerer(t *testing.T) (*Server, *reactortest.Kernel, *wstest.Client) {
	t.Helper()
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, testConfig(), kernel)
	c := wstest.Join(t, addr, "/ws/r")
	c.Send(wstest.MaskedBinary("before"), announced(1<<30))
	c.ExpectFrame(ws.OpBinary, "before")
	c.ExpectClose(1009)
	kernel.Pass(time.Millisecond) // Until the loop has looked for more.
	return s, kernel, c
}

func TestN30_LingeringEndsWithASecondOfSilence(t *testing.T) {
	s, kernel, _ := lingerer(t)
	kernel.Pass(lingerTime - 100*time.Millisecond)
	if s.Open() != 1 {
		t.Error("it did not wait for a second")
	}
	kernel.Pass(200 * time.Millisecond)
	testenv.Eventually(t, "it is closed", func() bool { return s.Open() == 0 })
	if st := testenv.StatsOf(t, s); st.CutShort != 0 || st.Closed[ClosedTooBig] != 1 {
		t.Errorf("cut short: %d, closed %v", st.CutShort, st.Closed)
	}
}

// A client that goes on and on is borne with for the time that closing may take.
func TestN30_LingeringEndsWithTheCloseTimeout(t *testing.T) {
	s, kernel, c := lingerer(t)
	const pause = 500 * time.Millisecond
	passed := time.Duration(0)
	for s.Open() == 1 && passed < time.Minute {
		c.TrySend([]byte("x"))
		testenv.Eventually(t, "that is read", func() bool { return s.Open() == 0 || s.heardAt(t) == kernel.Now() })
		kernel.Pass(pause)
		passed += pause
	}
	if want := testConfig().CloseTimeout; passed < want || passed > want+2*pause {
		t.Errorf("cut after %v, want %v", passed, want)
	}
	if st := testenv.StatsOf(t, s); st.CutShort != 1 || st.Closed[ClosedTooBig] != 1 {
		t.Errorf("cut short: %d, closed %v", st.CutShort, st.Closed)
	}
}

// heardAt is when the gateway's one connection was last heard, on its loop's clock.
func (s *Server) heardAt(t *testing.T) (at time.Duration) {
	t.Helper()
	for _, w := range s.workers {
		done := make(chan struct{})
		if err := post(t.Context(), w.loop, func(l *reactor.Loop) {
			defer close(done)
			for _, source := range l.Sources {
				if c, ok := source.(*conn); ok {
					at = c.heard
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	return at
}

// One that sends as fast as it can is cut after a number of bytes.
func TestN30_LingeringEndsWithItsBytes(t *testing.T) {
	s, _, c := lingerer(t) // on a clock that stands
	stop := wstest.Pour(c, make([]byte, 1<<20), 1<<20)
	defer stop()
	testenv.Eventually(t, "it is cut", func() bool { return s.Open() == 0 })
	if st := testenv.StatsOf(t, s); st.CutShort != 1 || st.Closed[ClosedTooBig] != 1 {
		t.Errorf("cut short: %d, closed %v", st.CutShort, st.Closed)
	}
	cfg := &config{Options: Options{MaxMessage: 1 << 30}}
	if got := cfg.lingerMax(); got != 4<<30 {
		t.Errorf("with messages of a gigabyte %d bytes are dropped", got)
	}
}
