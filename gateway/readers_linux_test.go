package gateway

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

var steadyTime = flag.Duration("steady-time", 0, "how long each row of TestN70_… lasts; 0: 2 s of two rows, with SLUICE_CI=1 40 s of all")

// joinNarrow joins with a receive buffer of so many bytes, which is set before the window is first
// announced: shrunk later, it loses what is under way, and the sender tries again for seconds.
func joinNarrow(t *testing.T, addr, path string, receive int) net.Conn {
	t.Helper()
	d := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receive) }); e != nil {
			return e
		}
		return err
	}}
	c, err := wstest.UpgradeRawBy(d, addr, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A steadyReader reads so many bytes a second without pause, and holds what comes to the order in
// which it was sent.
type steadyReader struct {
	net.Conn
	rate  int
	got   atomic.Int64
	frame []byte
	next  uint64
	gap   time.Duration // longest time without a byte
}

func (r *steadyReader) run(isOver *atomic.Bool) error {
	const most = 200 * time.Millisecond // by which it catches up if it had to wait for a processor
	buf := make([]byte, max(1, r.rate/20))
	due, last := time.Now(), time.Now()
	for {
		time.Sleep(time.Until(due))
		n, err := r.Read(buf)
		if isOver.Load() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reader of %d B/s, after %d bytes: %w", r.rate, r.got.Load(), err)
		}
		now := time.Now()
		r.gap, last = max(r.gap, now.Sub(last)), now
		if now.Sub(due) > most {
			due = now.Add(-most)
		}
		due = due.Add(time.Duration(n) * time.Second / time.Duration(r.rate))
		r.got.Add(int64(n))
		if err := r.check(buf[:n]); err != nil {
			return err
		}
	}
}

// readTo reads as fast as it can until it has the messages before this number.
func (r *steadyReader) readTo(number uint64) error {
	buf, last := make([]byte, 32<<10), time.Now()
	for r.next < number {
		n, err := r.Read(buf)
		if err == nil {
			err = r.check(buf[:n])
		}
		if err != nil {
			return fmt.Errorf("behind message %d: %w", r.next, err)
		}
		r.gap, last = max(r.gap, time.Since(last)), time.Now()
	}
	return nil
}

func (r *steadyReader) check(p []byte) error {
	for r.frame = append(r.frame, p...); len(r.frame) >= 4+floodMessage; r.frame = r.frame[4+floodMessage:] {
		if f := r.frame; f[0] != 0x82 || f[1] != 126 || binary.BigEndian.Uint16(f[2:]) != floodMessage || binary.BigEndian.Uint64(f[4:]) != r.next {
			return fmt.Errorf("in place of message %d came %x", r.next, f[:12])
		}
		r.next++
	}
	return nil
}

// pourOn sends numbered messages until the connection is closed, and takes its own echo.
func pourOn(c net.Conn) {
	go func() { _, _ = io.Copy(io.Discard, c) }()
	payload := make([]byte, floodMessage)
	for i := uint64(0); ; i++ {
		binary.BigEndian.PutUint64(payload, i)
		if _, err := c.Write(wsproto.AppendMaskedFrame(nil, wsproto.OpBinary, true, [4]byte{1, 2, 3, 4}, payload)); err != nil {
			return
		}
	}
}

// sideBySide runs a test of each row at once, however many tests may run in parallel: they wait,
// most of the time.
func sideBySide[R any](t *testing.T, rows []R, name func(R) string, test func(*testing.T, R)) {
	var all sync.WaitGroup
	for _, row := range rows {
		all.Go(func() { t.Run(name(row), func(t *testing.T) { test(t, row) }) })
	}
	all.Wait()
}

// A steadyRow is one combination of readers and of what the gateway does.
type steadyRow struct {
	rate, readers, loops int
	unsent               int64
}

func (r steadyRow) String() string {
	return fmt.Sprintf("%d B per s,%d readers,%d loops,%d unsent", r.rate, r.readers, r.loops, r.unsent)
}

// steadyRows are 12 combinations in which each pair of values of any two columns occurs.
var steadyRows = []steadyRow{
	{30e3, 5, 1, 64 << 10},
	{5e3, 50, 2, 4 << 10},
	{5e3, 5, 1, -1},
	{5e3, 5, 1, 64 << 10},
	{30e3, 50, 2, -1},
	{30e3, 5, 1, 4 << 10},
	{100e3, 50, 1, -1},
	{100e3, 50, 2, 4 << 10},
	{100e3, 5, 2, 64 << 10},
	{500e3, 50, 2, -1},
	{500e3, 5, 2, 4 << 10},
	{500e3, 5, 1, 64 << 10},
	{30e3, 50, 2, 64 << 10},
}

// Readers that are slow and never stop are waited for. Before, five of 30 KB/s were closed after
// three seconds: their sockets say only every second or so that they take bytes, and they passed
// for stalled. Relatives are in hub/vote_test.go, where time and kernels are scripted.
func TestN70_SlowButSteadyReadersAreWaitedFor(t *testing.T) {
	t.Parallel()
	if testenv.RaceEnabled {
		t.Skip("figures of the race detector's build say nothing; hub/vote_test.go runs under it")
	}
	rows, lasts := steadyRows[:2], 2*time.Second
	if testenv.IsWholeSize(t) || *steadyTime > 0 {
		rows, lasts = steadyRows, 40*time.Second
		if *steadyTime > 0 {
			lasts = *steadyTime
		}
	}
	sideBySide(t, rows, steadyRow.String, func(t *testing.T, row steadyRow) { keepSteady(t, row, lasts) })
}

// keepSteady holds a room of steady readers and one that floods them to the rules, for a while.
func keepSteady(t *testing.T, row steadyRow, lasts time.Duration) {
	cfg := testConfig()
	cfg.Loops, cfg.UnsentBuffer, cfg.NoCompression = row.loops, row.unsent, true
	s, addr := startGateway(t, cfg)
	receive := 64 << 10
	if row.rate <= 30e3 {
		receive = 8 << 10
	}
	var isOver atomic.Bool
	var done sync.WaitGroup
	failed := make(chan error, row.readers)
	var readers []*steadyReader
	for range row.readers {
		r := &steadyReader{Conn: joinNarrow(t, addr, "/ws/steady", receive), rate: row.rate}
		readers = append(readers, r)
		done.Go(func() {
			if err := r.run(&isOver); err != nil {
				failed <- err
			}
		})
	}
	sender, err := wstest.UpgradeRaw(addr, "/ws/steady")
	if err != nil {
		t.Fatal(err)
	}
	go pourOn(sender)
	var heldMax int64
	for end := time.Now().Add(lasts); time.Now().Before(end) && len(failed) == 0; time.Sleep(10 * time.Millisecond) {
		if r, ok := s.hub.Room("steady"); ok {
			heldMax = max(heldMax, r.Stats().Held)
		}
	}
	st := testenv.StatsOf(t, s)
	isOver.Store(true)
	least, most := readers[0].got.Load(), int64(0)
	for _, r := range readers {
		least, most = min(least, r.got.Load()), max(most, r.got.Load())
		r.Close()
	}
	sender.Close()
	done.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	taken := int64(st.Messages) * floodMessage
	t.Logf("the sender was rid of %d KB and paused %d times; readers have %d to %d KB; the log held %d KiB at most; %d refused writes, the kernel was asked %d times",
		taken/1000, st.Paused, least/1000, most/1000, heldMax>>10, st.Refused, st.Asked)
	if st.Closed != [NumCloseReasons]uint64{} {
		t.Errorf("somebody was closed: %v", st.Closed)
	}
	kernel := int64(1 << 20)
	if row.unsent < 0 {
		kernel = 8 << 20
	}
	// A window more: readers that a busy machine sets aside for seconds pass for stalled meanwhile.
	if ahead := taken - most; ahead > 2*cfg.PublishWindow+kernel {
		t.Errorf("the sender is %d bytes ahead", ahead)
	}
	if bound := cfg.RoomBacklog + cfg.PublishWindow + 256<<10; heldMax > bound {
		t.Errorf("the log held %d bytes, more than %d", heldMax, bound)
	}
	if due := int64(float64(row.rate) * lasts.Seconds()); least < due/3 {
		t.Errorf("a reader of %d B/s got %d bytes in %v", row.rate, least, lasts)
	}
}

func TestN70_SteadyRowsHaveAllPairs(t *testing.T) {
	columns := [4]map[int64]bool{{}, {}, {}, {}}
	pairs := map[[4]int64]bool{}
	for _, row := range steadyRows {
		values := [4]int64{int64(row.rate), int64(row.readers), int64(row.loops), row.unsent}
		for i := range values {
			columns[i][values[i]] = true
			for k := range i {
				pairs[[4]int64{int64(k), int64(i), values[k], values[i]}] = true
			}
		}
	}
	want := 0
	for i := range columns {
		for k := range i {
			want += len(columns[i]) * len(columns[k])
		}
	}
	if len(pairs) != want || want != 4*2+4*2+4*3+2*2+2*3+2*3 {
		t.Errorf("%d pairs of values occur, there are %d", len(pairs), want)
	}
}

// Eleven clients that take a byte a second are as many as read, the sender among them, and do not
// keep those from anything for longer than it takes to find out. Those who read get a fourth of a
// backlog at a time, so that none is overrun for want of a processor.
func TestN70_ReadersOfAByteASecondHoldNobody(t *testing.T) {
	t.Parallel() // It waits for what it is about, most of the time.
	cfg := testConfig()
	cfg.NoCompression, cfg.RoomBacklog = true, 4<<20
	s, addr := startGateway(t, cfg)
	const portion, messages = 1 << 10, 8 << 10 // in all more than the window, the backlog and the kernel hold
	var isOver atomic.Bool
	defer isOver.Store(true)
	for range 11 {
		r := &steadyReader{Conn: joinNarrow(t, addr, "/ws/r", 8<<10), rate: 1}
		go func() { _ = r.run(&isOver) }()
	}
	var honest []*steadyReader
	read := make(chan error, 11*messages/portion)
	for range 11 {
		c, err := wstest.UpgradeRaw(addr, "/ws/r")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(testenv.Patience))
		r := &steadyReader{Conn: c}
		honest = append(honest, r)
		go func() {
			for to := uint64(portion); to <= messages; to += portion {
				read <- r.readTo(to)
			}
		}()
	}
	for from := 0; from < messages; from += portion {
		if err := pourNumbered(honest[0], from, from+portion); err != nil {
			t.Fatal(err)
		}
		for range honest {
			if err := <-read; err != nil {
				t.Fatal(err)
			}
		}
	}
	var gap time.Duration
	for _, r := range honest {
		gap = max(gap, r.gap)
	}
	st := testenv.StatsOf(t, s)
	t.Logf("the longest that anybody waited for a byte was %v; paused %d times, %d overrun", gap, st.Paused, st.Hub.Overrun)
	if gap > 10*time.Second {
		t.Errorf("somebody waited for %v", gap)
	}
}

type smallRoom struct{ senders, readers int }

func (r smallRoom) String() string { return fmt.Sprintf("%d senders,%d readers", r.senders, r.readers) }

// A room of two, three or five: one or two send much and read their own echo, the others read 8
// MB/s. Before, the others were closed with 4008: the sender's echo was half of the room.
func TestN20_SenderOfASmallRoomWaitsForItsReaders(t *testing.T) {
	t.Parallel()
	total := 24_000_000
	if testenv.IsWholeSize(t) {
		total = 65_000_000
	}
	if testenv.RaceEnabled {
		total = 20_000_000
	}
	rooms := []smallRoom{{1, 1}, {1, 2}, {1, 4}, {2, 1}}
	sideBySide(t, rooms, smallRoom.String, func(t *testing.T, room smallRoom) {
		s, addr := startGateway(t, testConfig())
		each := total / floodMessage / room.senders
		messages := each * room.senders
		together := newPace(room.readers)
		var done sync.WaitGroup
		for range room.readers {
			c, err := wstest.UpgradeRaw(addr, "/ws/small")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.(*net.TCPConn).SetReadBuffer(128 << 10)
			c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			done.Go(func() {
				defer together.end()
				frames := make([]byte, paceStretch*(4+floodMessage))
				start := time.Now()
				for n := 0; n < messages; n += paceStretch {
					together.wait()
					time.Sleep(time.Until(start.Add(time.Duration(n*floodMessage) * time.Second / 8_000_000)))
					part := frames[:min(paceStretch, messages-n)*(4+floodMessage)]
					if _, err := io.ReadFull(c, part); err != nil {
						t.Errorf("after %d messages: %v", n, err)
						return
					}
					for f := part; len(f) > 0; f = f[4+floodMessage:] {
						if f[0] != 0x82 || binary.BigEndian.Uint16(f[2:]) != floodMessage || room.senders == 1 && binary.BigEndian.Uint64(f[4:]) != uint64(n+(len(part)-len(f))/(4+floodMessage)) {
							t.Errorf("behind message %d comes %x", n, f[:12])
							return
						}
					}
				}
			})
		}
		for range room.senders {
			c, err := wstest.UpgradeRaw(addr, "/ws/small")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c) }()
			done.Go(func() {
				if err := pourNumbered(c, 0, each); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		st := testenv.StatsOf(t, s)
		t.Logf("paused %d times, %d refused writes", st.Paused, st.Refused)
		// With the race detector it is the gateway that is slow, and nobody has to wait for the
		// readers.
		if st.Closed != [NumCloseReasons]uint64{} || st.Paused == 0 && !testenv.RaceEnabled {
			t.Errorf("closed %v; the senders waited %d times", st.Closed, st.Paused)
		}
	})
}
