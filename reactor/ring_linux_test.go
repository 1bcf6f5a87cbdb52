package reactor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
	"sluice/reactor/internal/sys"
)

// realRing is a ring of the system's own kernel.
func realRing(t testing.TB) *Ring {
	t.Helper()
	r, err := OpenRing(sys.Real{})
	if err != nil {
		testenv.LeaveOut(t, "there is no io_uring here: %v", err)
	}
	t.Cleanup(r.Close)
	return r
}

// fillForGood fills a TCP socket that its peer does not read, until nothing is on its way any more:
// what is acknowledged later makes room for more, and on a busy machine it is later.
func fillForGood(t testing.TB, fd int) {
	t.Helper()
	const siocOutqNSD = 0x894B // tcp(7) calls it SIOCOUTQNSD: of what waits, that which was not sent
	for end := time.Now().Add(testenv.Patience); ; time.Sleep(time.Millisecond) {
		fill(t, fd)
		waits, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		must(t, err)
		unsent, err := unix.IoctlGetInt(fd, siocOutqNSD)
		must(t, err)
		if _, err := (sys.Real{}).Write(fd, []byte{0}); waits == unsent && errors.Is(err, syscall.EAGAIN) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes wait, %d of them unsent", waits, unsent)
		}
	}
}

// Each send of a batch has its own end, in the call that it was made in: a full socket, a closed
// descriptor, a peer that has reset, one that is no socket, and those around them.
func TestK32_EachSendOfABatchHasItsOwnEnd(t *testing.T) {
	r := realRing(t)
	const full, closed, reset, noSocket, sends = 2, 5, 6, 8, 10
	filled, unread := tcpPair(t)
	fillForGood(t, filled)   // Once: it takes as long as an acknowledgement.
	for round := range 100 { // The queues' indices go round several times.
		batch, peers := make([]Send, sends), make([]int, sends)
		for i := range batch {
			if batch[i].FD, peers[i] = filled, unread; i != full {
				batch[i].FD, peers[i] = tcpPair(t)
			}
			batch[i].Bytes = []byte{byte(round), byte(i)}
		}
		own := batch[noSocket].FD
		_, batch[noSocket].FD = pipe(t)
		must(t, sys.Real{}.SetOption(peers[reset], sys.AbortOnClose, 1))
		closeNow(t, peers[reset])
		batch[closed].FD = closedDescriptor(t)
		if err := r.SendBatch(batch); err != nil {
			t.Fatal(err)
		}
		errs := map[int]error{full: syscall.EAGAIN, closed: syscall.EBADF, reset: syscall.ECONNRESET, noSocket: syscall.ENOTSOCK}
		buf := make([]byte, 16)
		for i, s := range batch {
			if want := errs[i]; s.Err != want || (s.N == 2) != (want == nil) {
				t.Fatalf("round %d, send %d: %d, %v; want %v", round, i, s.N, s.Err, want)
			}
			if errs[i] == nil {
				if n, err := readOnce(peers[i], buf); err != nil || !bytes.Equal(buf[:n], s.Bytes) {
					t.Fatalf("round %d, send %d: %v came, %v", round, i, buf[:n], err)
				}
			}
		}
		for i := range batch {
			if i == full {
				continue
			}
			if i != reset {
				closeNow(t, peers[i])
			}
			if i != closed && i != noSocket {
				closeNow(t, batch[i].FD)
			}
		}
		closeNow(t, own)
	}
}

// What does not fit goes in part, as it does by a write, and the rest is refused.
func TestRingSendsInPart(t *testing.T) {
	r := realRing(t)
	a, b := tcpPair(t)
	batch := []Send{{FD: a, Bytes: make([]byte, 64<<20)}}
	if err := r.SendBatch(batch); err != nil {
		t.Fatal(err)
	}
	n := batch[0].N
	if n <= 0 || n >= 64<<20 || batch[0].Err != nil {
		t.Fatalf("%d, %v", n, batch[0].Err)
	}
	for got := 0; got < n; {
		more, err := readSome(b)
		must(t, err)
		got += more
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	r := realRing(t)
	a, b := socketPair(t)
	batch := make([]Send, 64)
	p, buf := []byte("hello"), make([]byte, 64*5)
	if n := testing.AllocsPerRun(100, func() {
		for i := range batch {
			batch[i] = Send{FD: a, Bytes: p}
		}
		if err := r.SendBatch(batch); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(buf); {
			n, _ := sys.Real{}.Read(b, buf)
			got += n
		}
	}); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}

// A ring costs a descriptor and the memory that the documents name, for as long as it is open, and
// no thread of the kernel's and no goroutine, whether sockets are full or not.
func TestRingHasNoThreadAndGivesAllBack(t *testing.T) {
	before, goroutines := ringsMapped(t), runtime.NumGoroutine()
	r, err := OpenRing(sys.Real{})
	if err != nil {
		testenv.LeaveOut(t, "there is no io_uring here: %v", err)
	}
	if n := ringsMapped(t) - before; n < 8<<10 || n > 32<<10 {
		t.Errorf("it shares %d bytes with the kernel", n)
	}
	full, _ := tcpPair(t)
	fillForGood(t, full)
	batch := make([]Send, RingMax)
	for range 50 {
		for i := range batch {
			batch[i] = Send{FD: full, Bytes: []byte("more")}
		}
		if err := r.SendBatch(batch); err != nil {
			t.Fatal(err)
		}
		if batch[0].Err != syscall.EAGAIN || batch[RingMax-1].Err != syscall.EAGAIN {
			t.Fatalf("%v, %v", batch[0], batch[RingMax-1])
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, and %d before", n, goroutines)
	}
	for _, name := range threads(t) {
		if strings.HasPrefix(name, "iou-") {
			t.Errorf("the kernel has made a thread: %s", name)
		}
	}
	r.Close()
	if n := ringsMapped(t); n != before {
		t.Errorf("%d bytes are shared after it was closed, %d before it was opened", n, before)
	}
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, link := range links {
		if to, _ := os.Readlink(link); strings.Contains(to, "io_uring") {
			t.Errorf("descriptor %s is left: %s", link, to)
		}
	}
}

// ringsMapped is how many bytes this process shares with the kernel's rings.
func ringsMapped(t *testing.T) (bytes int64) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "io_uring") {
			continue
		}
		from, rest, _ := strings.Cut(line, "-")
		to, _, _ := strings.Cut(rest, " ")
		begin, err := strconv.ParseInt(from, 16, 64)
		must(t, err)
		end, err := strconv.ParseInt(to, 16, 64)
		must(t, err)
		bytes += end - begin
	}
	return bytes
}

// threads are the names of this process's threads, those that the kernel has made for it among
// them.
func threads(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/comm")
	must(t, err)
	for _, file := range files {
		if name, err := os.ReadFile(file); err == nil { // A thread may have ended meanwhile.
			names = append(names, strings.TrimSpace(string(name)))
		}
	}
	return names
}

func pipe(t testing.TB) (r, w int) {
	t.Helper()
	var ends [2]int
	must(t, syscall.Pipe(ends[:]))
	own(t, ends[0])
	own(t, ends[1])
	return ends[0], ends[1]
}
