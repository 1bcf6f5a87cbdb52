package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"

	gorilla "github.com/gorilla/websocket"

	"sluice/reactor"
)

// A note is what a receiver remembers of a message: enough to tell any two apart.
type note struct {
	kind   websocket.MessageType
	length int
	first  byte // tells the publisher; zero for an empty message
	sum    [sha256.Size]byte
}

func noteOf(kind websocket.MessageType, p []byte) note {
	n := note{kind: kind, length: len(p), sum: sha256.Sum256(p)}
	if len(p) > 0 {
		n.first = p[0]
	}
	return n
}

// An outgoing message of a publisher; parts over one are fragments.
type outgoing struct {
	kind    websocket.MessageType
	payload []byte
	parts   int
}

// repertoire is what each publisher sends: every length at which the encoding changes, as text and
// binary, whole and in fragments. Its letter stands first in every message that is not empty.
func repertoire(letter byte, largest int) []outgoing {
	var all []outgoing
	for _, size := range []int{0, 1, 125, 126, 127, 65_535, 65_536, largest} {
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			for _, parts := range []int{1, 2, 7} {
				p := []byte(strings.Repeat(fmt.Sprintf("%c%d.%d.%d ", letter, size, kind, parts), size/4+1)[:size])
				if kind == websocket.MessageBinary && size > 1 {
					p[size-1] = 0xFF
				}
				all = append(all, outgoing{kind, p, parts})
			}
		}
	}
	return all
}

func (o outgoing) send(ctx context.Context, c *websocket.Conn) error {
	if o.parts == 1 {
		return c.Write(ctx, o.kind, o.payload)
	}
	w, err := c.Writer(ctx, o.kind) // Every Write is a frame, and Close a last empty one.
	if err != nil {
		return err
	}
	step := len(o.payload)/o.parts + 1
	for p := range slices.Chunk(o.payload, step) {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Close()
}

// perLoop returns how many messages each loop has received.
func perLoop(t *testing.T, s *Server) []uint64 {
	t.Helper()
	counts := make([]uint64, len(s.workers))
	for i, w := range s.workers {
		answer := make(chan uint64)
		w.loop.Post(func(*reactor.Loop) { answer <- w.stats.Messages })
		counts[i] = <-answer
	}
	return counts
}

func TestEveryMessageReachesEveryClientUnchangedInOneOrder(t *testing.T) {
	t.Parallel()
	const publishers, listeners = 4, 3
	cfg := testConfig()
	if !testenv.IsWholeSize(t) {
		cfg.MaxMessage = 200_000
	}
	cfg.RoomBacklog = 128 << 20 // More than is sent: a reader that a busy machine holds up is not to be overrun.
	s, addr := startGateway(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 10*testenv.Patience)
	defer cancel()

	total := publishers * len(repertoire('a', int(cfg.MaxMessage)))
	got := make([][]note, publishers+listeners)
	var wg sync.WaitGroup
	read := func(i int, next func() (websocket.MessageType, []byte, error)) {
		for len(got[i]) < total {
			kind, p, err := next()
			if err != nil {
				t.Errorf("client %d after %d messages: %v", i, len(got[i]), err)
				return
			}
			got[i] = append(got[i], noteOf(kind, p))
		}
	}
	var conns []*websocket.Conn
	for i := range publishers {
		c := wstest.Dial(t, addr, "/ws/stage")
		conns = append(conns, c)
		wg.Go(func() { read(i, func() (websocket.MessageType, []byte, error) { return c.Read(ctx) }) })
	}
	for i := range listeners { // judged by a second independent client
		c := dialGorilla(t, addr, "/ws/stage")
		wg.Go(func() {
			read(publishers+i, func() (websocket.MessageType, []byte, error) {
				kind, p, err := c.ReadMessage()
				return websocket.MessageType(kind), p, err
			})
		})
	}
	other := wstest.Dial(t, addr, "/ws/other")
	for i, c := range conns {
		wg.Go(func() {
			for _, o := range repertoire(byte('a'+i), int(cfg.MaxMessage)) {
				if err := o.send(ctx, c); err != nil {
					t.Errorf("publisher %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range got {
		if !slices.Equal(got[i], got[0]) {
			t.Fatalf("client %d saw another order or other messages than client 0", i)
		}
	}
	for i := range publishers {
		expectOwnOrder(t, got[0], repertoire(byte('a'+i), int(cfg.MaxMessage)), byte('a'+i))
	}
	for loop, n := range perLoop(t, s) {
		if n == 0 {
			t.Errorf("loop %d received nothing: the publishers were to be on different loops", loop)
		}
	}
	if err := other.Write(ctx, websocket.MessageText, []byte("only this")); err != nil {
		t.Fatal(err)
	}
	wstest.ExpectText(t, other, "only this")
}

// expectOwnOrder checks that one publisher's messages stand in the stream as they were sent.
func expectOwnOrder(t *testing.T, stream []note, sent []outgoing, letter byte) {
	t.Helper()
	mine := slices.DeleteFunc(slices.Clone(stream), func(n note) bool { return n.first != letter })
	var want []note
	for _, o := range sent {
		if len(o.payload) > 0 && o.payload[0] == letter {
			want = append(want, noteOf(o.kind, o.payload))
		}
	}
	if !slices.Equal(mine, want) {
		t.Errorf("publisher %c: %d messages arrived, %d were sent, or in another order", letter, len(mine), len(want))
	}
}

func dialGorilla(t testing.TB, addr, path string) *gorilla.Conn {
	t.Helper()
	c, r, err := gorilla.DefaultDialer.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	t.Cleanup(func() { c.Close() })
	return c
}

// A flood of small messages from clients on both loops: everybody sees the same order, in which
// every sender's own messages are complete.
func TestConcurrentPublishersAreSeenInOneOrder(t *testing.T) {
	t.Parallel()
	const publishers, each = 6, 2000
	_, addr := startGateway(t, testConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 10*testenv.Patience)
	defer cancel()
	got := make([][]string, publishers)
	conns := make([]*websocket.Conn, publishers)
	for i := range conns {
		conns[i] = wstest.Dial(t, addr, "/ws")
	}
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			for n := range each {
				if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%d %d", i, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for len(got[i]) < publishers*each {
				_, p, err := c.Read(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = append(got[i], string(p))
			}
		})
	}
	wg.Wait()
	next := make([]int, publishers)
	for _, m := range got[0] {
		var who, n int
		if _, err := fmt.Sscanf(m, "%d %d", &who, &n); err != nil || n != next[who] {
			t.Fatalf("got %q, want number %d of publisher %d", m, next[who], who)
		}
		next[who]++
	}
	for i := range got {
		if !slices.Equal(got[i], got[0]) {
			t.Errorf("client %d saw another order than client 0", i)
		}
	}
}
