package clustertest

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/natstest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

var wholeRounds = flag.Int("whole.rounds", 0, "how often TestFiguresOfWholeGateways measures each figure, at its whole size; 0: once, small")

// A size is how much is measured.
type size struct {
	rounds   int
	seconds  int   // of latency
	flood    int   // messages
	into     []int // so many rooms
	clients  int   // of one room
	inFlight []int // messages to them …
	messages int   // … and in all, at one of these
	rooms    int   // that are opened cold
	kept     int   // messages of each
	followed int   // rooms
}

// What several machines cost, measured from outside: gateways, brokers and clients are processes.
// One gateway is two sides, which shows what ratio equals have; all take turns.
func TestFiguresOfWholeGateways(t *testing.T) {
	of := size{rounds: *wholeRounds, seconds: 5, flood: 200_000, into: []int{1, 16}, clients: 1000, inFlight: []int{1, 16}, messages: 300, rooms: 200, kept: 100, followed: 10_000}
	if of.rounds == 0 {
		testenv.LeaveToCI(t, "two programs that are built, four servers and six gateways")
		t.Parallel()
		of = size{rounds: 1, seconds: 1, flood: 2000, into: []int{2}, clients: 10, inFlight: []int{2}, messages: 20, rooms: 5, kept: 10, followed: 50}
	}
	w := startWhole(t, of)
	for _, one := range []struct {
		name    string
		measure func()
	}{
		{"latency", w.measureLatency},
		{"throughput", w.measureThroughput},
		{"processor", w.measureProcessor},
		{"opening", w.measureOpening},
		{"followed", w.measureFollowed},
	} {
		t.Run(one.name, func(t *testing.T) {
			w.T, w.rows = t, nil
			one.measure()
			w.print()
		})
	}
}

// measureLatency is of few clients, and of messages that come one by one.
func (w *whole) measureLatency() {
	p50, p99 := w.row("latency, p50, ms", "%.2f"), w.row("latency, p99, ms", "%.2f")
	added50, added99 := w.row("added to one gateway's p50", "%.2f"), w.row("added to its p99", "%.2f")
	for range w.rounds {
		for _, s := range w.sides {
			r := w.load(s, "/ws/{room}", "--clients=11", "--rate=200", fmt.Sprintf("--duration=%ds", w.seconds))
			p50.add(s, r.Latency.P50/1e3)
			p99.add(s, r.Latency.P99/1e3)
		}
	}
	p50.beyondFirst(w, added50)
	p99.beyondFirst(w, added99)
}

// measureThroughput is of publishers that send as fast as they may, to three readers in each room.
func (w *whole) measureThroughput() {
	for _, rooms := range w.into {
		flood := w.row(fmt.Sprintf("messages/s, in %d room(s)", rooms), "%.0f")
		publishers := max(4, rooms)
		for range w.rounds {
			for _, s := range w.sides {
				r := w.load(s, "/ws/{room}", fmt.Sprint("--rooms=", rooms), fmt.Sprint("--clients=", publishers+3*rooms), fmt.Sprint("--publishers=", publishers),
					fmt.Sprint("--window=", 16384/publishers), fmt.Sprint("--messages=", w.flood))
				flood.add(s, r.Messages/r.Seconds)
			}
		}
	}
}

// measureProcessor is of the gateway that reads: what a delivery takes of it, and what a message
// does that one client reads, which is nearly the follower's own part. By way of a stream messages
// come later, and a publisher that waits for its readers sends less often: that changes what a
// delivery costs in any gateway. So a follower is held against one gateway whose publisher is as
// far away, too.
func (w *whole) measureProcessor() {
	long := natstest.StartProxy(w, w.sides[0].read.Addr)
	publishFar := fmt.Sprint("--publish-at=127.0.0.1:", long.Port())
	for _, window := range w.inFlight {
		own := w.row(fmt.Sprintf("processor, µs a message to one reader, %d in flight", window), "%.1f")
		each := w.row(fmt.Sprintf("… µs a delivery to %d", w.clients), "%.3f")
		writes := w.row("… messages in a write", "%.2f")
		ratio, beyond := w.row("… to one gateway's", "%.3f"), w.row("… without the message's own", "%.3f")
		far, farWrites := w.row("… one gateway's, its publisher as far away", "%.3f"), w.row("… and messages in a write there", "%.2f")
		toFar, byWrite := w.row("… to that, without the message's own", "%.3f"), w.row("… likewise, of a write", "%.3f")
		for range w.rounds {
			var nearest, first float64 // of the first side: seconds of a window to one reader, µs a delivery
			for i, s := range w.sides {
				alone := w.load(s, "/ws/{room}", "--clients=2", fmt.Sprint("--window=", window), fmt.Sprint("--messages=", 10*w.messages))
				ownCost, seconds := alone.Server.CPUSeconds*1e6/alone.Messages, alone.Seconds/alone.Messages*float64(window)
				own.add(s, ownCost)
				cost, inWrite := w.costOf(s, window)
				each.add(s, cost)
				writes.add(s, inWrite)
				if i == 0 {
					nearest, first = seconds, cost
					continue
				}
				ratio.add(s, cost/first)
				if !s.isCluster() {
					continue
				}
				long.Delay(time.Duration((seconds - nearest) * 1e9))
				farCost, farInWrite := w.costOf(w.sides[0], window, publishFar)
				far.add(s, farCost)
				farWrites.add(s, farInWrite)
				cost -= ownCost / float64(w.clients)
				beyond.add(s, cost/first)
				toFar.add(s, cost/farCost)
				byWrite.add(s, cost*inWrite/(farCost*farInWrite))
			}
		}
	}
}

// costOf is what a delivery to all clients takes of a side's processor, in µs, and how many
// messages a write has.
func (w *whole) costOf(s *side, window int, more ...string) (each, inWrite float64) {
	w.Helper()
	delivered, written := w.metric(s, "sluice_messages_delivered_total"), w.metric(s, "sluice_writes_total")
	args := []string{fmt.Sprint("--clients=", w.clients+1), fmt.Sprint("--window=", window), fmt.Sprint("--messages=", window*w.messages/4+w.messages)}
	r := w.load(s, "/ws/{room}", append(args, more...)...)
	each = r.Server.CPUSeconds * 1e6 / r.Messages / float64(w.readers(s))
	return each, (w.metric(s, "sluice_messages_delivered_total") - delivered) / (w.metric(s, "sluice_writes_total") - written)
}

// readers is how many of the clients the measured gateway has: publishers read too, where they are.
func (w *whole) readers(s *side) int {
	if s.isCluster() {
		return w.clients
	}
	return w.clients + 1
}

// measureOpening is of rooms that the gateway has not opened before, one after the other: until a
// reader has all that is kept. One gateway has them open.
func (w *whole) measureOpening() {
	p50, p99 := w.row(fmt.Sprintf("a room of %d messages, opened cold, p50, ms", w.kept), "%.2f"), w.row("… p99, ms", "%.2f")
	for _, s := range w.sides {
		clients := fmt.Sprintf("--clients=%d --publishers=%[1]d --rooms=%[1]d --warmup=0 --messages=%d", w.rooms, w.rooms*w.kept)
		w.load(&side{name: s.name, publish: s.publish, read: s.publish}, "/ws/kept-{room}", strings.Fields(clients)...)
		var took []float64
		for i := range w.rooms {
			began := time.Now()
			w.readKept(fmt.Sprintf("http://%s/sse/kept-room-%d?last=all", s.read.Addr, i))
			took = append(took, time.Since(began).Seconds()*1e3)
		}
		slices.Sort(took)
		p50.add(s, took[len(took)/2])
		p99.add(s, took[len(took)*99/100])
	}
}

// readKept reads all that a room keeps.
func (w *whole) readKept(url string) {
	w.Helper()
	answer, err := http.Get(url)
	if err != nil {
		w.Fatal(err)
	}
	defer answer.Body.Close()
	events := wstest.ReadEvents(answer.Body)
	for n := 0; n < w.kept; {
		e, err := events.Next()
		if err != nil {
			w.Fatalf("%s: %s: behind %d messages: %v", url, answer.Status, n, err)
		}
		if e.Type == "message" {
			n++
		}
	}
}

// measureFollowed is of rooms with a client in each.
func (w *whole) measureFollowed() {
	bytes := w.row(fmt.Sprintf("%d rooms with a client in each: resident bytes of one", w.followed), "%.0f")
	goroutines, seconds := w.row("… goroutines more", "%.0f"), w.row("… opened within, s", "%.1f")
	for _, s := range w.sides {
		memory, were, began := w.resident(s), w.metric(s, "go_goroutines"), time.Now()
		var open []net.Conn
		for i := range w.followed {
			c, err := wstest.UpgradeRaw(s.read.Addr, fmt.Sprint("/ws/followed-", i))
			if err != nil {
				w.Fatal(err)
			}
			open = append(open, c)
		}
		if s.isCluster() {
			testenv.Eventually(w, "all rooms are followed", func() bool {
				return int(w.metric(s, "sluice_cluster_rooms")) >= w.followed && w.metric(s, "sluice_cluster_rooms_opening") == 0
			})
		}
		seconds.add(s, time.Since(began).Seconds())
		goroutines.add(s, w.metric(s, "go_goroutines")-were)
		bytes.add(s, (w.resident(s)-memory)/float64(w.followed))
		for _, c := range open {
			c.Close()
		}
	}
}
