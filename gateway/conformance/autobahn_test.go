package conformance

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/wstest"
)

// Autobahn's fuzzing client: all of its cases, which are 1 to 10, 12 and 13, under their own
// numbers, with the outcome the suite calls strict. None may come out "non-strict"; where the suite
// only reports what happened ("informational"), the outcome that is right here stands beside the
// case. The gateway says everything to its sender too, so a client alone in its room hears an echo.
// What it sends is made by gobwas/ws, and what it hears is read by it.
//
//	go test ./gateway/conformance -run 'TestAutobahn_6/^6[.]4[.]1$'
//	go test ./gateway/conformance -run TestAutobahn_9 -autobahn-full -v
var autobahnFull = flag.Bool("autobahn-full", false, "Autobahn's cases 9, 12 and 13 with the suite's sizes and counts, of which a part is taken otherwise")

// An autobahnCase is one case of the suite: its number, and what a client does and expects.
type autobahnCase struct {
	number string
	play   func(c *wstest.Client)
}

// An autobahnGroup is a part of the suite and how many cases it has, so that none can be forgotten.
type autobahnGroup struct {
	prefix string
	cases  int
}

// autobahnWait bounds each read and each send of a case: it is the suite's own patience with most
// of its performance cases.
const autobahnWait = 100 * time.Second

// playAutobahn runs the cases of one section, each in a room of its own.
func playAutobahn(t *testing.T, cfg gateway.Options, groups []autobahnGroup, cases []autobahnCase) {
	t.Helper()
	expectAllOf(t, groups, cases)
	_, addr := gatewaytest.Start(t, cfg)
	for _, ac := range cases {
		t.Run(ac.number, func(t *testing.T) {
			c := wstest.Join(t, addr, "/ws/autobahn-"+ac.number)
			c.Wait = autobahnWait
			ac.play(c)
		})
	}
}

func expectAllOf(t *testing.T, groups []autobahnGroup, cases []autobahnCase) {
	t.Helper()
	var want, have []string
	for _, g := range groups {
		for i := range g.cases {
			want = append(want, fmt.Sprintf("%s.%d", g.prefix, i+1))
		}
	}
	for _, ac := range cases {
		have = append(have, ac.number)
	}
	if !slices.Equal(have, want) {
		t.Fatalf("the cases are %q, the suite's %q", have, want)
	}
}

// A sending is what a case sends and how it is cut.
type sending struct {
	frames [][]byte
	octets int // per write; zero: all frames in one write; below zero: a write for each frame
}

func inOne(frames ...[]byte) sending               { return sending{frames, 0} }
func byFrame(frames ...[]byte) sending             { return sending{frames, -1} }
func chopped(octets int, frames ...[]byte) sending { return sending{frames, octets} }

// to writes it, to a gateway that may have seen enough before the end.
func (s sending) to(c *wstest.Client) {
	switch {
	case s.octets < 0:
		for _, f := range s.frames {
			c.TrySend(f)
		}
	case s.octets == 0:
		c.TrySend(bytes.Join(s.frames, nil))
	default:
		for chop := range slices.Chunk(bytes.Join(s.frames, nil), s.octets) {
			c.TrySend(chop)
		}
	}
}

// A said is one frame that the gateway is expected to send.
type said struct {
	op      ws.OpCode
	payload string
}

func echoText(s string) said   { return said{ws.OpText, s} }
func echoBinary(s string) said { return said{ws.OpBinary, s} }
func echoPong(s string) said   { return said{ws.OpPong, s} }

func expectSaid(c *wstest.Client, want ...said) {
	c.T.Helper()
	for _, w := range want {
		c.ExpectFrame(w.op, w.payload)
	}
}

// clean is a case in which all is legal: after what is wanted, in this order and nothing else, the
// client closes with 1000, is answered likewise, and the gateway ends the TCP connection.
func clean(sent sending, want ...said) func(*wstest.Client) {
	return func(c *wstest.Client) {
		c.T.Helper()
		sent.to(c)
		expectSaid(c, want...)
		closeCleanly(c)
	}
}

func closeCleanly(c *wstest.Client) {
	c.T.Helper()
	c.Send(wstest.MaskedClose(1000, ""))
	c.ExpectClose(1000)
}

// closes is a case at whose end the gateway sends Close with this code, because the client did
// something forbidden or closed; zero is a Close without a body. What was valid before is answered,
// what comes behind is not.
func closes(code ws.StatusCode, sent sending, want ...said) func(*wstest.Client) {
	return func(c *wstest.Client) {
		c.T.Helper()
		sent.to(c)
		expectSaid(c, want...)
		c.ExpectClose(code)
	}
}

// expectSilence fails if the gateway says anything in this time, or ends the connection.
func expectSilence(c *wstest.Client, wait time.Duration) {
	c.T.Helper()
	if p, err := c.Peek(wait); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.T.Fatalf("got %q, %v; want nothing yet", p, err)
	}
}
