package gateway

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
)

// A subscriber that publishes in a full room is answered when its turn has come, and whoever is not
// in the room is refused; what was published is lost by nobody who reads.
func TestPublishWaitsForAFullRoom(t *testing.T) {
	const n = 100 // of 8 KiB: more than a window and what kernels hold of it
	cfg := slowly(hub.Disconnect)
	cfg.RoomBacklog = 4 << 20 // All of it: whichever reader's kernel takes less than the others' is not to be overrun.
	s, addr := startGateway(t, cfg)
	var readers []*slow
	for range 3 {
		readers = append(readers, dialSlow(t, addr, `{"id":2,"subscribe":{"channel":"a"}}`))
	}
	p, other := connectPeer(t, addr), connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
	data := `"` + strings.Repeat("x", 8<<10) + `"`
	answered := make(chan error, 1)
	go func() {
		next := 10
		for next < 10+n {
			line, err := p.read()
			if err != nil {
				answered <- err
				return
			}
			if strings.HasPrefix(line, `{"id"`) {
				if line != fmt.Sprintf(`{"id":%d,"publish":{}}`, next) {
					answered <- fmt.Errorf("instead of %d: %s", next, line)
					return
				}
				next++
			}
		}
		answered <- nil
	}()
	go func() {
		for i := range n {
			_ = p.conn.Write(t.Context(), 1, fmt.Appendf(nil, `{"id":%d,"publish":{"channel":"a","data":%s}}`, 10+i, data))
		}
	}()
	awaitFull(t, s, "a")
	other.say(`{"id":2,"publish":{"channel":"a","data":1}}`)
	other.expect(`{"id":2,"error":{"code":111,"message":"too many requests","temporary":true}}`)
	var all sync.WaitGroup
	for _, c := range readers {
		all.Go(func() {
			for range n {
				if line, err := c.next(); err != nil || !strings.HasPrefix(line, `{"push":`) {
					t.Errorf("a reader got %.60q, %v", line, err)
					return
				}
			}
		})
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	all.Wait()
}

// awaitFull waits until a publisher waits for a room whose readers take nothing more.
func awaitFull(t *testing.T, s *Server, room string) {
	t.Helper()
	testenv.Eventually(t, "its publisher waits", func() (waits bool) {
		if info, _ := s.Room(room); !info.IsFull || info.Blocked < 3 {
			return false
		}
		onConns(t, s, func(c *conn) {
			if u := c.subscriber(); u != nil && u.isAwaiting {
				waits = true
			}
		})
		return waits
	})
}

// A client that waits for a room and leaves it goes on with what it said behind that.
func TestWhoeverIsTakenOutOfARoomItWaitsForGoesOn(t *testing.T) {
	s, addr := startGateway(t, slowly(hub.Disconnect))
	for range 3 {
		dialSlow(t, addr, `{"id":2,"subscribe":{"channel":"a"}}`)
	}
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`)
	p.expect(`{"id":2,"subscribe":{}}`)
	data := `"` + strings.Repeat("x", 8<<10) + `"`
	go func() {
		for i := range 100 {
			_ = p.conn.Write(t.Context(), 1, fmt.Appendf(nil, `{"id":%d,"publish":{"channel":"a","data":%s}}`, 10+i, data))
		}
		_ = p.conn.Write(t.Context(), 1, []byte(`{"id":1000,"rpc":{}}`))
	}()
	go func() {
		for {
			if _, err := p.read(); err != nil {
				return
			}
		}
	}()
	awaitFull(t, s, "a")
	onConns(t, s, func(c *conn) {
		if u := c.subscriber(); u != nil && u.isAwaiting {
			u.drop(u.find("a"))
		}
	})
	testenv.Eventually(t, "its last command is answered", func() bool {
		st := testenv.StatsOf(t, s)
		return st.Commands == 3*2+2+101 // each counted once, however often it has waited
	})
}
