package gateway

import (
	"bytes"
	"testing"
	"time"
)

// Clients that came together are asked to come back, each in the last fifth of the time, and none
// later.
func TestMaxLifetimeAsksClientsToComeBack(t *testing.T) {
	const most, clients = 2 * time.Second, 40
	cfg := testConfig()
	cfg.Loops, cfg.MaxLifetime, cfg.PingInterval = 1, most, time.Hour
	st := newStepped(t, cfg, nil)
	var all []*steppedClient
	for range clients {
		all = append(all, st.join(0, "/ws/r"))
	}
	// 1001 and its text, as RFC 6455 has a Close frame.
	bye := append([]byte{0x88, 2 + 17, 0x03, 0xe9}, "time to reconnect"...)
	left := func() (n int) {
		for _, c := range all {
			if c.c.life == open {
				n++
			}
		}
		return n
	}
	st.lapse(most-most/5-50*time.Millisecond, -1)
	if n := left(); n != clients {
		t.Fatalf("%d of %d are left before four fifths of the time", n, clients)
	}
	st.lapse(most/10+50*time.Millisecond, -1)
	if n := left(); n == 0 || n == clients {
		t.Errorf("%d of %d are left in the middle of the last fifth: they go together", n, clients)
	}
	st.lapse(most/10+50*time.Millisecond, -1)
	if n := left(); n != 0 {
		t.Errorf("%d are left after the time", n)
	}
	for i, c := range all {
		got := make([]byte, 1000)
		if n, err := c.Read(got); err != nil || !bytes.Equal(got[:n], bye) {
			t.Errorf("client %d got %q, %v; want Close 1001", i, got[:n], err)
		}
	}
}
