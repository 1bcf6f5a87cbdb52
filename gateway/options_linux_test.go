package gateway

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
	"sluice/reactor"
)

// Options are set once, on the listener. What counts is that a connection has them.
func TestAcceptedConnectionsCarryTheOptions(t *testing.T) {
	cfg := testConfig()
	cfg.StallTimeout = 20 * time.Second
	s, addr := startGateway(t, cfg)
	wstest.Join(t, addr, "/ws")
	wstest.Join(t, addr, "/ws") // one for each loop
	lent := wstest.Connect(t, addr)
	lent.Send(wstest.PlainGet("/"))
	lent.Response()
	lent.Send(wstest.UpgradeHead("/ws"))
	lent.ExpectUpgrade()
	want := map[int]int{
		unix.TCP_NODELAY:       1,
		unix.TCP_NOTSENT_LOWAT: 64 << 10,
		unix.TCP_USER_TIMEOUT:  30_000,
		unix.TCP_KEEPIDLE:      keepIdle,
	}
	seen := 0
	for _, w := range s.workers {
		done := make(chan struct{})
		w.loop.Post(func(l *reactor.Loop) {
			defer close(done)
			for _, source := range l.Sources {
				c, ok := source.(*conn)
				if !ok {
					continue
				}
				seen++
				for option, value := range want {
					if got, err := unix.GetsockoptInt(int(c.fd), unix.IPPROTO_TCP, option); err != nil || got != value {
						t.Errorf("TCP option %d is %d, %v; want %d", option, got, err, value)
					}
				}
			}
		})
		<-done
	}
	if seen != 3 {
		t.Errorf("looked at %d connections, want 3", seen)
	}
}
