package gateway

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/hub"
	"sluice/wsproto"
)

var (
	floodRuns    = flag.Int("flood-runs", 1, "how often the flood is repeated")
	floodReaders = flag.Int("flood-readers", 0, "clients that read the flood; 0: 300, or 100 with -short")
)

const floodMessage = 1 << 10

// floodReader reads frames of floodMessage bytes, each with its number in front, until it has had them all.
func floodReader(c net.Conn, messages int, progress *atomic.Int64) error {
	r := bufio.NewReaderSize(c, 32<<10)
	frame := make([]byte, 4+floodMessage)
	for i := range messages {
		if _, err := io.ReadFull(r, frame); err != nil {
			return fmt.Errorf("after %d messages: %w", i, err)
		}
		if frame[0] != 0x82 || frame[1] != 126 || binary.BigEndian.Uint16(frame[2:]) != floodMessage {
			return fmt.Errorf("after %d messages: frame begins with %x", i, frame[:4])
		}
		if got := binary.BigEndian.Uint64(frame[4:]); got != uint64(i) {
			return fmt.Errorf("message %d came in place of %d", got, i)
		}
		progress.Add(1)
	}
	return nil
}

// upgradeRaw opens a connection, upgrades it, and returns it with nothing read beyond the answer.
func upgradeRaw(addr, path string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(wsproto.AppendClientHandshake(nil, addr, path, "dGhlIHNhbXBsZSBub25jZQ==")); err != nil {
		return nil, err
	}
	var head []byte
	one := make([]byte, 1)
	for wsproto.HeadEnd(head, 0) == 0 {
		if _, err := c.Read(one); err != nil {
			return nil, err
		}
		head = append(head, one[0])
	}
	if string(head[:12]) != "HTTP/1.1 101" {
		return nil, fmt.Errorf("answered %q", head)
	}
	return c, nil
}

// floodOutcome is what one flood showed.
type floodOutcome struct {
	took    time.Duration
	atEnd   int64 // how many deliveries had been read when the sender's kernel had taken everything
	heldMax int64
	stats   Stats
}

// flood sends 40 MB of 1 KiB messages from one client, as fast as its socket takes them, into a room of reading clients,
// the sender among them, and stalled ones.
func flood(t *testing.T, loops, readers, stalled, messages int) floodOutcome {
	cfg := testConfig()
	cfg.Loops = loops
	cfg.StallTimeout = time.Hour // One that is stalled is to be overtaken, however slow the others are.
	s, addr := startGateway(t, cfg)
	defer s.Close()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range readers + stalled {
		c, err := upgradeRaw(addr, "/ws/flood")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	sender := conns[0]

	var out floodOutcome
	var progress atomic.Int64
	failed := make(chan error, readers+1)
	var done sync.WaitGroup
	start := time.Now()
	for _, c := range conns[:readers] {
		c.SetReadDeadline(start.Add(2 * time.Minute))
		done.Go(func() {
			if err := floodReader(c, messages, &progress); err != nil {
				failed <- err
			}
		})
	}
	done.Go(func() {
		payload := make([]byte, floodMessage)
		var batch []byte
		for i := range messages {
			binary.BigEndian.PutUint64(payload, uint64(i))
			batch = wsproto.AppendMaskedFrame(batch, wsproto.OpBinary, true, [4]byte{1, 2, 3, byte(i)}, payload)
			if len(batch) >= 64<<10 || i == messages-1 {
				if _, err := sender.Write(batch); err != nil {
					failed <- fmt.Errorf("sender: %w", err)
					return
				}
				batch = batch[:0]
			}
		}
		out.atEnd = progress.Load()
	})
	finished := make(chan struct{})
	go func() { done.Wait(); close(finished) }()
	bound := int64(cfg.RoomBacklog+cfg.PublishWindow) + 256<<10
	for isOver := false; !isOver; {
		select {
		case <-finished:
			isOver = true
		case err := <-failed:
			t.Error(err)
		case <-time.After(5 * time.Millisecond):
		}
		if r, ok := s.hub.Room("flood"); ok {
			held := r.Stats().Held
			out.heldMax = max(out.heldMax, held)
			if held > bound {
				t.Errorf("the log holds %d bytes, more than %d", held, bound)
			}
		}
	}
	out.took = time.Since(start)
	for len(failed) > 0 {
		t.Error(<-failed)
	}
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out.stats = stats
	t.Logf("%d loops, %d readers, %d stalled: %v, %.2f million deliveries a second, log held %d KiB at most, %.1f messages a write, %d refused writes, sender paused %d times",
		loops, readers, stalled, out.took.Round(time.Millisecond), float64(readers*messages)/out.took.Seconds()/1e6,
		out.heldMax>>10, float64(stats.Deliveries)/float64(stats.Writes), stats.Refused, stats.Paused)
	t.Logf("%.0f %% had been read when the sender had sent all", 100*float64(out.atEnd)/float64(readers*messages))
	return out
}

// One client floods a room of readers: nobody is closed, nothing is lost, the log stays within its bound, and it is the
// sender that waits. With -flood-readers 1000 -flood-runs 10 it is the full one.
func TestFloodHurtsNoReaderAndHoldsItsSender(t *testing.T) {
	readers, messages := 300, 40_000_000/floodMessage
	if testing.Short() || raceEnabled {
		readers, messages = 100, 8_000
	}
	if *floodReaders > 0 {
		readers = *floodReaders
	}
	for _, loops := range []int{1, 2} {
		t.Run("loops="+strconv.Itoa(loops), func(t *testing.T) {
			for range *floodRuns {
				out := flood(t, loops, readers, 0, messages)
				for r, n := range out.stats.Closed {
					if n > 0 {
						t.Errorf("%d clients were closed: %v", n, closeReason(r))
					}
				}
				// Its kernel and ours take some 10 MB ahead of what is read.
				if all := int64(readers * messages); messages*floodMessage > 30_000_000 && (out.atEnd < all/2 || out.stats.Paused == 0) {
					t.Errorf("the sender had sent all when %d of %d had been read, and was paused %d times: it did not have to wait",
						out.atEnd, all, out.stats.Paused)
				}
			}
		})
	}
}

// The same with one client that never reads: it is overtaken and closed, and nobody else notices. That the sender is not
// slower is a figure, not a verdict, on machines as noisy as these: it is printed beside that of a run without.
func TestFloodWithAStalledClientClosesThatOneAlone(t *testing.T) {
	readers, messages := 200, 40_000_000/floodMessage
	if testing.Short() || raceEnabled {
		readers = 30
	}
	without := flood(t, 2, readers, 0, messages)
	with := flood(t, 2, readers, 1, messages)
	for r, n := range with.stats.Closed {
		// Whether the stalled one has been closed by now depends on --close-timeout.
		if n > 0 && closeReason(r) != closedSlow && closeReason(r) != closedCloseTimeout {
			t.Errorf("%d clients were closed: %v", n, closeReason(r))
		}
	}
	if n := with.stats.Hub.Overrun[hub.Disconnect]; n != 1 {
		t.Errorf("%d clients were overtaken, want the stalled one", n)
	}
	t.Logf("time with a stalled client, as a multiple of without: %.2f", with.took.Seconds()/without.took.Seconds())
}
