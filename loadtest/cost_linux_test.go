package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/loadtest/internal/limits"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/server"
	"sluice/loadtest/internal/usage"
	"sluice/wsproto"
)

// As LOADTEST_CLI=1 the test binary is the program itself, so that tests can spawn it.
func TestMain(m *testing.M) {
	if os.Getenv("LOADTEST_CLI") == "1" {
		main()
		return
	}
	os.Setenv("LOADTEST_CLI", "1") // A run of several processes starts itself.
	os.Exit(m.Run())
}

// selfCommand is a shell command that runs this program.
func selfCommand(tb testing.TB, args string) string {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return "LOADTEST_CLI=1 exec '" + exe + "' " + args
}

const costClients, costMessages = 1000, 100

// BenchmarkOwnCost compares the tool's own CPU time per delivery with that of a client loop which only reads and counts,
// in turns on the same server. Beside it stands the tool's cost with sixteen messages in flight:
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
	b.ReportMetric(median(ours), "µs/delivery")
	b.ReportMetric(median(bare), "bare-µs/delivery")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(many), "at-16-µs/delivery")
}

// toolCost is the tool's CPU time per delivery, in microseconds, with so many messages in flight.
func toolCost(b *testing.B, addr string, window int) float64 {
	cfg := &load.Load{Clients: costClients, Publishers: 1, Rooms: 1, Size: load.FixedSize(64), Messages: costMessages, Window: window, Warmup: 5, Loops: 1, ConnectTimeout: time.Minute, LossTimeout: time.Minute}
	res := loadServer(b, cfg, "ws://"+addr+"/ws")
	if res.faulty() {
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

// bareLoad sends one message at a time and only counts the bytes that come. It calls begin when it is warm.
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

// BenchmarkFloorAgainstC compares the floor's CPU time per delivery with that of the same loop in C, in turns:
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
	b.ReportMetric(median(inGo), "µs/delivery")
	b.ReportMetric(median(inC), "C-µs/delivery")
	b.ReportMetric(median(ratios), "ratio")
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

func TestSpawnedServerIsMeasuredAndStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := testLoad()
	cfg.LossTimeout = 10 * time.Second
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	// A shell between us and the server: the server's cost must be found below it.
	command := "echo 'msg=stopped deliveries=30 writes=10 note=x'; " + strings.Replace(selfCommand(t, "floor --listen 127.0.0.1:$PORT"), "exec ", "", 1) + "; echo end"
	res, err := loadOnce(ctx, cfg, []string{"ws://nowhere:1/ws"}, []string{command}, nil, &progress.Display{})
	if err != nil {
		t.Fatal(err)
	}
	s := res.Server
	if res.faulty() || s == nil {
		t.Fatalf("faults %+v, server %+v", faultsOf(res), s)
	}
	if s.CPUPerDelivery < 0.2 || s.CPUPerDelivery > 500 || s.RSS < 3<<20 || s.CPUPerConnection <= 0 || s.SwitchesPerSecond <= 0 {
		t.Errorf("implausible: %+v", s)
	}
	if s.Said["deliveries"] != 30 || s.Said["writes"] != 10 {
		t.Errorf("its last words: %v", s.Said)
	}
}

func TestComparisonPrintsMediansAndRatios(t *testing.T) {
	floor := selfCommand(t, "floor --listen 127.0.0.1:$PORT")
	for _, test := range []struct {
		args  []string
		want  []string
		sides []string
	}{
		{
			[]string{"compare", "--clients=20", "--messages=20", "--warmup=1", "--settle=0s", "--loss-timeout=20s"},
			[]string{"server CPU µs/delivery", "deliveries/s", "latency p99 µs", "resident MB"},
			[]string{"A", "B", "A'"},
		},
		{
			[]string{"compare", "--clients=20", "--stalled=5", "--calm", "--messages=20", "--warmup=1", "--settle=0s", "--loss-timeout=20s"},
			[]string{"deliveries/s", "bytes/delivery"},
			[]string{"A", "B", "A'", "A-"},
		},
		{[]string{"connect", "--connections=50"}, []string{"server CPU µs/connection", "connections/s"}, []string{"A", "B", "A'"}},
	} {
		var said strings.Builder
		args := append(test.args, "--rounds=2", "--quiet", "--spawn", floor, "--spawn", floor)
		if status := runMain(t.Context(), args, &said, &said); status != exitOK {
			t.Fatalf("exit status %d\n%s", status, said.String())
		}
		for _, name := range test.want {
			_, rest, found := strings.Cut(said.String(), "\n"+name)
			lines := strings.Split(rest, "\n")
			if !found || len(lines) < 1+len(test.sides) {
				t.Fatalf("%q is missing:\n%s", name, said.String())
			}
			for i, side := range test.sides {
				f := strings.Fields(lines[1+i])
				if len(f) != 6 || f[0] != side || side == "A" && f[2] != "1.000" {
					t.Errorf("%s: line of %s is %q", name, side, lines[1+i])
				}
			}
		}
	}
}

func TestPresetsFillInWhatIsNotGiven(t *testing.T) {
	var said strings.Builder
	report := filepath.Join(t.TempDir(), "report.json")
	args := []string{"--preset=stalled", "--clients=30", "--stalled=4", "--messages=20", "--loss-timeout=20s", "--json", report, "--spawn", selfCommand(t, "floor --listen 127.0.0.1:$PORT")}
	if status := runMain(t.Context(), args, &said, &said); status != exitOK {
		t.Fatalf("exit status %d\n%s", status, said.String())
	}
	b, err := os.ReadFile(report)
	var res Result
	if err := errors.Join(err, json.Unmarshal(b, &res)); err != nil {
		t.Fatal(err)
	}
	if res.Clients != 30 || res.Crowd.Stalled != 4 || res.Messages != 20 || res.Size != 1024 || res.Window != 8 {
		t.Errorf("clients %d, stalled %d, messages %d, size %d, window %d; want 30, 4, 20 as given, 1024 and 8 as preset",
			res.Clients, res.Crowd.Stalled, res.Messages, res.Size, res.Window)
	}
}
