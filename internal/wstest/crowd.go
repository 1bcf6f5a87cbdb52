package wstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/testenv"
)

// A Crowd is a publisher and listeners that read what it sends, all of them independent clients.
// Messages carry numbers; a listener that misses one fails the test.
type Crowd struct {
	T         *testing.T
	ctx       context.Context
	publisher *websocket.Conn
	Size      int
	Sent      uint64
	heard     []atomic.Uint64 // by listener: how many messages
}

// Gather makes a crowd whose messages have size bytes. The publisher is its first listener.
func Gather(t *testing.T, addr, path string, listeners, size int) *Crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // Each message has a time of its own, see Publish and HearAll.
	c := &Crowd{T: t, ctx: ctx, Size: size, heard: make([]atomic.Uint64, listeners)}
	var wg sync.WaitGroup
	for i := range listeners {
		conn := Dial(t, addr, path)
		if i == 0 {
			c.publisher = conn
		}
		wg.Go(func() { c.listen(conn, &c.heard[i]) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

func (c *Crowd) listen(conn *websocket.Conn, heard *atomic.Uint64) {
	for seq := uint64(0); ; seq++ {
		_, p, err := conn.Read(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		if err != nil || !IsMessage(p, seq, c.Size) {
			c.T.Errorf("a listener waited for message %d: got %d bytes, %v", seq, len(p), err)
			return
		}
		heard.Add(1)
	}
}

// Message is the one with this number: the number, then a pattern that depends on it.
func Message(seq uint64, size int) []byte {
	p := bytes.Repeat([]byte{byte(seq)}, size)
	binary.BigEndian.PutUint64(p, seq)
	return p
}

// IsMessage reports whether p is the message with this number.
func IsMessage(p []byte, seq uint64, size int) bool {
	return len(p) == size && binary.BigEndian.Uint64(p) == seq && bytes.Count(p[8:], []byte{byte(seq)}) == size-8
}

// Publish makes the publisher say so many messages.
func (c *Crowd) Publish(messages int) {
	c.T.Helper()
	for range messages {
		if err := c.Say(); err != nil {
			c.T.Fatalf("publish message %d: %v", c.Sent, err)
		}
	}
}

// Say publishes one message, on whatever goroutine.
func (c *Crowd) Say() error {
	ctx, cancel := context.WithTimeout(c.ctx, testenv.Patience)
	defer cancel()
	err := c.publisher.Write(ctx, websocket.MessageBinary, Message(c.Sent, c.Size))
	if err == nil {
		c.Sent++
	}
	return err
}

// HearAll waits until every listener has everything.
func (c *Crowd) HearAll() {
	c.T.Helper()
	for end := time.Now().Add(testenv.Patience); ; time.Sleep(100 * time.Microsecond) {
		least := c.Sent
		for i := range c.heard {
			least = min(least, c.heard[i].Load())
		}
		if least == c.Sent {
			return
		}
		if time.Now().After(end) {
			c.T.Fatalf("of %d messages a listener has %d", c.Sent, least)
		}
	}
}

// ExpectPrompt publishes 51 messages, one at a time, and fails if the crowd does not have a quarter
// of them soon. A member that is held up is held up with every message; a machine that has much
// else to do holds up some, for a while most. So those that were late do not count if more, sent
// later, were not.
func (c *Crowd) ExpectPrompt(when string) {
	c.T.Helper()
	const each, soon = 51, 50 * time.Millisecond
	var took [each]time.Duration
	for range 5 {
		for i := range took {
			start := time.Now()
			c.Publish(1)
			c.HearAll()
			took[i] = time.Since(start)
		}
		slices.Sort(took[:])
		if took[each/4] <= soon {
			return
		}
	}
	c.T.Errorf("%s: three in four messages took more than %v, of 51, five times", when, took[each/4])
}

// ExpectMessages reads n messages of a crowd, from number seq on.
func (c *Client) ExpectMessages(seq uint64, n, size int) {
	c.T.Helper()
	for range n {
		f := c.Frame()
		if f.Header.OpCode != ws.OpBinary || !IsMessage(f.Payload, seq, size) {
			c.T.Fatalf("got %s, want message %d", Describe(f), seq)
		}
		seq++
	}
}

// LoseAFifth gathers a room of so many clients and has every fifth of them reset while messages go
// out, one half of those in the middle of a message that they do not take. The others, which it
// returns, have everything that was said.
func LoseAFifth(t *testing.T, addr string, clients int) (others *Crowd) {
	t.Helper()
	const size, rounds = 1 << 10, 10
	leavers := clients / 5
	t.Logf("%d of %d clients reset", leavers, clients)
	others = Gather(t, addr, "/ws/stage", clients-leavers, size)
	var doomed []*Client
	for i := range leavers {
		c := Join(t, addr, "/ws/stage")
		if i%2 == 0 {
			c.Narrow()
		}
		doomed = append(doomed, c)
	}
	for range rounds {
		others.Publish(40)
		for _, c := range doomed[:leavers/rounds] {
			c.Reset()
		}
		doomed = doomed[leavers/rounds:]
	}
	others.Publish(40)
	others.HearAll()
	return others
}
