package hub

import (
	"fmt"
	"testing"
	"time"
)

// A taker takes everything and keeps nothing.
type taker struct {
	client
	bytes int
}

func (c *taker) take(p []byte) int { c.bytes += len(p); return len(p) }

// BenchmarkPublish is what a message costs up to its last delivery.
func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{1, 100} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			f := newFixture(b, wide)
			for range members {
				c := &taker{client: client{now: &f.now, room: -1}}
				if err := f.fans[0].joinEnd("r", Plain, &c.Member, c); err != nil {
					b.Fatal(err)
				}
			}
			r, _ := f.hub.Room("r")
			m := &Message{Plain: Frame{Head: []byte{0x82, 64}, Payload: make([]byte, 64)}}
			clock := func() time.Duration { return f.now }
			b.ReportAllocs()
			for b.Loop() {
				r.Publish(f.fans[0], f.now, m)
				f.fans[0].Flush(clock)
			}
		})
	}
}
