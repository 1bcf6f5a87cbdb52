package floor

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/run"
	"sluice/loadtest/internal/server"
)

// startFloor serves the floor on a thread of this process until the test ends.
func startFloor(t *testing.T) (addr string) {
	t.Helper()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, addr, io.Discard)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
	}
	t.Fatal("the floor does not listen")
	return ""
}

// dial connects n clients that take messages of any size, until the test ends.
func dial(ctx context.Context, t *testing.T, addr string, n int) (all []*websocket.Conn) {
	t.Helper()
	for range n {
		c, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.CloseNow() })
		c.SetReadLimit(-1)
		all = append(all, c)
	}
	return all
}

func TestFloorBroadcastsToAnIndependentClient(t *testing.T) {
	addr := startFloor(t)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	all := dial(ctx, t, addr, 5)
	for i, size := range []int{0, 1, 125, 126, 65_535, 65_536, 100_000, 8 << 20} {
		kind := []websocket.MessageType{websocket.MessageText, websocket.MessageBinary}[i%2]
		want := []byte(strings.Repeat("abcdefg", size/7+1)[:size])
		if err := all[i%len(all)].Write(ctx, kind, want); err != nil {
			t.Fatal(err)
		}
		for n, c := range all {
			if k, got, err := c.Read(ctx); err != nil || k != kind || !bytes.Equal(got, want) {
				t.Fatalf("client %d got %v of %d bytes, %v; want %v of %d", n, k, len(got), err, kind, size)
			}
		}
	}
	all[4].CloseNow()
	if err := all[0].Write(ctx, websocket.MessageText, []byte("one less")); err != nil {
		t.Fatal(err)
	}
	for n, c := range all[:4] {
		if _, got, err := c.Read(ctx); err != nil || string(got) != "one less" {
			t.Fatalf("client %d got %q, %v after another one left", n, got, err)
		}
	}
}

// The floor is what others are compared with: it must be above suspicion itself. The load test
// counts a message of another room, or one too many, as a fault.
func TestFloorHasNoFaults(t *testing.T) {
	for _, rooms := range []int{1, 10} {
		cfg := &load.Load{
			Clients: 20, Publishers: rooms, Rooms: rooms, Size: load.FixedSize(64), Messages: 200, Window: 16, Loops: 2,
			ConnectTimeout: 30 * time.Second, LossTimeout: 10 * time.Second,
		}
		if err := cfg.Prepare(); err != nil {
			t.Fatal(err)
		}
		res, err := run.Once(t.Context(), cfg, []string{"ws://" + startFloor(t) + "/ws/{room}"}, nil, nil, &progress.Display{})
		if err != nil || res.Faulty() || res.Delivered != uint64(200*20/rooms) {
			t.Errorf("%d rooms: %v, report %+v", rooms, err, res)
		}
	}
}
