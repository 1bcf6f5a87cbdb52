package gateway

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
)

// A crowd is a publisher and listeners that read what it sends, all of them independent clients. Messages carry numbers;
// a listener that misses one fails the test.
type crowd struct {
	t         *testing.T
	ctx       context.Context
	publisher *websocket.Conn
	size      int
	sent      uint64
	heard     []atomic.Uint64 // by listener: how many messages
}

// gather makes a crowd whose messages have size bytes. The publisher is its first listener.
func gather(t *testing.T, addr, path string, listeners, size int) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // Each message has a time of its own, see publish and hearAll.
	c := &crowd{t: t, ctx: ctx, size: size, heard: make([]atomic.Uint64, listeners)}
	var wg sync.WaitGroup
	for i := range listeners {
		conn := dial(t, addr, path)
		if i == 0 {
			c.publisher = conn
		}
		wg.Go(func() { c.listen(conn, &c.heard[i]) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

func (c *crowd) listen(conn *websocket.Conn, heard *atomic.Uint64) {
	for seq := uint64(0); ; seq++ {
		_, p, err := conn.Read(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		if err != nil || !isMessage(p, seq, c.size) {
			c.t.Errorf("a listener waited for message %d: got %d bytes, %v", seq, len(p), err)
			return
		}
		heard.Add(1)
	}
}

// message is the one with this number: the number, then a pattern that depends on it.
func message(seq uint64, size int) []byte {
	p := bytes.Repeat([]byte{byte(seq)}, size)
	binary.BigEndian.PutUint64(p, seq)
	return p
}

func isMessage(p []byte, seq uint64, size int) bool {
	return len(p) == size && binary.BigEndian.Uint64(p) == seq && bytes.Count(p[8:], []byte{byte(seq)}) == size-8
}

func (c *crowd) publish(messages int) {
	c.t.Helper()
	for range messages {
		if err := c.say(); err != nil {
			c.t.Fatalf("publish message %d: %v", c.sent, err)
		}
	}
}

// say publishes one message, on whatever goroutine.
func (c *crowd) say() error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	err := c.publisher.Write(ctx, websocket.MessageBinary, message(c.sent, c.size))
	if err == nil {
		c.sent++
	}
	return err
}

// hearAll waits until every listener has everything.
func (c *crowd) hearAll() {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Microsecond) {
		least := c.sent
		for i := range c.heard {
			least = min(least, c.heard[i].Load())
		}
		if least == c.sent {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("of %d messages a listener has %d", c.sent, least)
		}
	}
}

// expectPrompt publishes 51 messages, one at a time, and fails if the crowd does not have a quarter of them soon. Who is held up is held
// up with every message; a machine that has much else to do holds up some, for a while most. So those that were late do not count if
// more, sent later, were not.
func (c *crowd) expectPrompt(when string) {
	c.t.Helper()
	const each, soon = 51, 50 * time.Millisecond
	var took [each]time.Duration
	for range 5 {
		for i := range took {
			start := time.Now()
			c.publish(1)
			c.hearAll()
			took[i] = time.Since(start)
		}
		slices.Sort(took[:])
		if took[each/4] <= soon {
			return
		}
	}
	c.t.Errorf("%s: three in four messages took more than %v, of 51, five times", when, took[each/4])
}

// expectMessages reads n messages of a crowd, from number seq on.
func (c *rawClient) expectMessages(seq uint64, n, size int) {
	c.t.Helper()
	for range n {
		f := c.frame()
		if f.Header.OpCode != ws.OpBinary || !isMessage(f.Payload, seq, size) {
			c.t.Fatalf("got %s, want message %d", describe(f), seq)
		}
		seq++
	}
}

// loseAFifth gathers a room of so many clients and has every fifth of them reset while messages go out,
// one half of those in the middle of a message that they do not take. The others, which it returns,
// have everything that was said.
func loseAFifth(t *testing.T, addr string, clients int) (others *crowd) {
	t.Helper()
	const size, rounds = 1 << 10, 10
	leavers := clients / 5
	t.Logf("%d of %d clients reset", leavers, clients)
	others = gather(t, addr, "/ws/stage", clients-leavers, size)
	var doomed []*rawClient
	for i := range leavers {
		c := join(t, addr, "/ws/stage")
		if i%2 == 0 {
			c.narrow()
		}
		doomed = append(doomed, c)
	}
	for range rounds {
		others.publish(40)
		for _, c := range doomed[:leavers/rounds] {
			c.reset()
		}
		doomed = doomed[leavers/rounds:]
	}
	others.publish(40)
	others.hearAll()
	return others
}
