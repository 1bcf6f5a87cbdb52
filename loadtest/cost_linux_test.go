package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/loadtest/internal/limits"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/run"
	"sluice/loadtest/internal/server"
	"sluice/loadtest/internal/usage"
	"sluice/wsproto"
)

const costClients, costMessages = 1000, 100

// BenchmarkOwnCost compares the tool's own CPU time per delivery with that of a client loop which
// only reads and counts, in turns on the same server. Beside it stands the tool's cost with sixteen
// messages in flight:
//
//	go test ./loadtest -run '^$' -bench OwnCost -benchtime 9x
func BenchmarkOwnCost(b *testing.B) {
	limits.Raise(1)
	s, err := server.Spawn(b.Context(), selfCommand(b, "floor --listen 127.0.0.1:$PORT"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	var ours, bare, many []float64
	for b.Loop() {
		bare = append(bare, bareCost(b, s.Port))
		ours = append(ours, toolCost(b, s.Addr(), 1))
		many = append(many, toolCost(b, s.Addr(), 16))
	}
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / bare[i]
	}
	b.ReportMetric(middle(ours), "µs/delivery")
	b.ReportMetric(middle(bare), "bare-µs/delivery")
	b.ReportMetric(middle(ratios), "ratio")
	b.ReportMetric(middle(many), "at-16-µs/delivery")
}

// toolCost is the tool's CPU time per delivery, in microseconds, with window messages in flight.
func toolCost(b *testing.B, addr string, window int) float64 {
	cfg := &load.Load{Clients: costClients, Publishers: 1, Rooms: 1, Size: load.FixedSize(64), Messages: costMessages, Window: window, Warmup: 5, Loops: 1, ConnectTimeout: time.Minute, LossTimeout: time.Minute}
	if err := cfg.Prepare(); err != nil {
		b.Fatal(err)
	}
	res, err := run.Once(b.Context(), cfg, []string{"ws://" + addr + "/ws"}, nil, nil, &progress.Display{})
	if err != nil {
		b.Fatal(err)
	}
	if res.Faulty() {
		b.Fatal("the floor is faulty")
	}
	return res.Client.CPUPerDelivery
}

// bareCost is the CPU time per delivery, in microseconds, of the least that a client can do.
func bareCost(b *testing.B, port int) float64 {
	var from time.Duration
	bareLoad(b, port, func() { from = usage.OwnCPU() })
	return (usage.OwnCPU() - from).Seconds() * 1e6 / (costClients * costMessages)
}

// bareLoad sends one message at a time and only counts the bytes that come. It calls begin when it
// is warm.
func bareLoad(b *testing.B, port int, begin func()) {
	epfd, err := unix.EpollCreate1(0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(epfd)
	fds := make([]int, costClients)
	for i := range fds {
		fds[i] = bareConnect(b, port)
		defer unix.Close(fds[i])
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fds[i])}
		if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fds[i], &ev); err != nil {
			b.Fatal(err)
		}
	}
	frame := wsproto.AppendMaskedFrame(nil, wsproto.OpText, true, [4]byte{1, 2, 3, 4}, []byte(strings.Repeat("x", 64)))
	events := make([]unix.EpollEvent, 512)
	buf := make([]byte, 64<<10)
	for message := range 5 + costMessages {
		if message == 5 {
			begin()
		}
		if _, err := unix.Write(fds[0], frame); err != nil {
			b.Fatal(err)
		}
		for missing := costClients * (len(frame) - 4); missing > 0; {
			n, err := unix.EpollWait(epfd, events, -1)
			if err != nil {
				continue
			}
			for i := range events[:n] {
				got, _ := unix.Read(int(events[i].Fd), buf)
				missing -= max(0, got)
			}
		}
	}
}

func bareConnect(b *testing.B, port int) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		b.Fatal(err)
	}
	request := wsproto.AppendClientHandshake(nil, "bare", "/ws", "AAAAAAAAAAAAAAAAAAAAAA==")
	if _, err := unix.Write(fd, request); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil || !bytes.HasPrefix(buf[:max(0, n)], []byte("HTTP/1.1 101 ")) {
		b.Fatal(err, string(buf[:max(0, n)]))
	}
	return fd
}

// BenchmarkFloorAgainstC compares the floor's CPU time per delivery with that of the same loop in
// C, in turns:
//
//	go test ./loadtest -run '^$' -bench FloorAgainstC -benchtime 9x
func BenchmarkFloorAgainstC(b *testing.B) {
	limits.Raise(1)
	exe := filepath.Join(b.TempDir(), "floor")
	if out, err := exec.Command("cc", "-O2", "-o", exe, "testdata/floor.c").CombinedOutput(); err != nil {
		b.Skipf("no C compiler: %v\n%s", err, out)
	}
	var inGo, inC []float64
	for b.Loop() {
		inC = append(inC, floorCost(b, "exec "+exe+" $PORT"))
		inGo = append(inGo, floorCost(b, selfCommand(b, "floor --listen 127.0.0.1:$PORT")))
	}
	ratios := make([]float64, len(inGo))
	for i := range inGo {
		ratios[i] = inGo[i] / inC[i]
	}
	b.ReportMetric(middle(inGo), "µs/delivery")
	b.ReportMetric(middle(inC), "C-µs/delivery")
	b.ReportMetric(middle(ratios), "ratio")
}

// floorCost is a spawned floor's CPU time per delivery, in microseconds.
func floorCost(b *testing.B, command string) float64 {
	s, err := server.Spawn(b.Context(), command)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	var before usage.Observation
	bareLoad(b, s.Port, func() { before = usage.Observe([]int{s.PID()}) })
	return (usage.Observe([]int{s.PID()}).CPU - before.CPU).Seconds() * 1e6 / (costClients * costMessages)
}

// middle is the middle of values, of which there is an odd number or which are close.
func middle(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
