//go:build unix

package clustertest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/hub"
	"sluice/internal/natstest"
	"sluice/internal/testenv"
)

// Rooms that are followed take memory, and no goroutine.
func TestFollowedRoomsTakeNoGoroutine(t *testing.T) {
	rooms := 500
	if testenv.IsWholeSize(t) {
		rooms = 10_000
	}
	s := startServer(t)
	m := start(t, "node0", withStream(s.ClientURL()))
	m.open("first") // Behind it all goroutines are there that will be.
	goroutines, heap := runtime.NumGoroutine(), testenv.LiveHeap()
	began := time.Now()
	var openers sync.WaitGroup
	for k := range 16 {
		openers.Go(func() {
			for i := k; i < rooms; i += 16 {
				if err := m.node.Open(soon(t), fmt.Sprint("room.", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	openers.Wait()
	took := time.Since(began)
	testenv.Eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines+4 })
	each := (testenv.LiveHeap() - heap) / int64(rooms)
	t.Logf("%d rooms opened in %v: %d bytes each, the broker's part included; %d goroutines, before %d", rooms, took.Round(time.Millisecond), each, runtime.NumGoroutine(), goroutines)
	if each > 8<<10 {
		t.Errorf("%d bytes for a room", each)
	}
}

// brokers are what figures are of: one server, three copies in files.
var brokers = []struct {
	name  string
	start func(b *testing.B) (urls []string)
}{
	{"R1", func(b *testing.B) []string { return []string{natstest.Start(b).ClientURL()} }},
	{"R3", func(b *testing.B) (urls []string) {
		for _, s := range natstest.StartCluster(b, 3) {
			urls = append(urls, s.ClientURL())
		}
		return urls
	}},
}

// BenchmarkLatency is how long a message takes from Publish to Append on two nodes, one at a time;
// that of the publisher's own node and of the other alike.
func BenchmarkLatency(b *testing.B) {
	for _, broker := range brokers {
		b.Run(broker.name, func(b *testing.B) {
			a, c := startPair(b, broker.start(b))
			var took []time.Duration
			payload := make([]byte, 64)
			for b.Loop() {
				began := time.Now()
				mustOffer(b, a, "room", payload)
				<-a.rooms.appended
				<-c.rooms.appended
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkThroughput is of messages of 64 bytes that one node publishes in a room as fast as it
// may, and two nodes append. The processor time is the process's: both nodes, and with R1 and R3
// their brokers.
func BenchmarkThroughput(b *testing.B) {
	for _, broker := range brokers {
		for _, rooms := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/rooms=%d", broker.name, rooms), func(b *testing.B) {
				names := make([]string, rooms)
				for i := range names {
					names[i] = fmt.Sprint("room.", i)
				}
				a, c := startPair(b, broker.start(b), names...)
				payload := make([]byte, 64)
				cpu := processorTime()
				i := 0
				for b.Loop() {
					mustOffer(b, a, names[i%rooms], payload)
					i++
				}
				for a.rooms.counted.Load() < int64(i) || c.rooms.counted.Load() < int64(i) {
					time.Sleep(100 * time.Microsecond)
				}
				b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "messages/s")
				b.ReportMetric(float64((processorTime()-cpu).Nanoseconds())/float64(i), "cpu-ns/message")
				b.ReportMetric(float64(a.node.Stats().PackMessages)/float64(a.node.Stats().Packs), "messages/pack")
			})
		}
	}
}

// BenchmarkFollow is the processor time of a node that publishes, and of nodes that follow in the
// same process: the difference is what following costs for each message. The broker is another
// process. A pack has one message, or as many as there are.
func BenchmarkFollow(b *testing.B) {
	for _, isAlone := range []bool{true, false} {
		for followers := range 3 {
			b.Run(fmt.Sprintf("alone=%v/followers=%d", isAlone, followers), func(b *testing.B) {
				o := withStream(natstest.StartProcesses(b, 1)[0].URL())
				a := start(b, "a", o)
				a.awaitReady()
				var all []*machine
				for i := range followers {
					m := start(b, fmt.Sprint("follower", i), o)
					m.rooms.onlyCounts = true
					for room := range 16 {
						m.open(fmt.Sprint("room.", room))
					}
					all = append(all, m)
				}
				payload := make([]byte, 64)
				answered := make(chan struct{}, 16)
				cpu := processorTime()
				i := 0
				for b.Loop() {
					if room := fmt.Sprint("room.", i%16); !isAlone {
						mustOffer(b, a, room, payload)
					} else if err := a.node.Publish(room, hub.Source{Payload: payload}, "", func(hub.Position, error) { answered <- struct{}{} }); err != nil {
						b.Fatal(err)
					}
					if i++; isAlone && i >= 16 {
						<-answered
					}
				}
				for _, m := range all {
					for m.rooms.counted.Load() < int64(i) {
						time.Sleep(time.Millisecond)
					}
				}
				b.ReportMetric(float64((processorTime()-cpu).Nanoseconds())/float64(i), "cpu-ns/message")
				b.ReportMetric(float64(a.node.Stats().PackMessages)/float64(a.node.Stats().Packs), "messages/pack")
			})
		}
	}
}

// BenchmarkOpenCold is of a room with 100 messages kept, among 1,000 such rooms.
func BenchmarkOpenCold(b *testing.B) {
	const rooms, kept = 1000, 100
	for _, broker := range brokers {
		b.Run(broker.name, func(b *testing.B) {
			o := withStream(broker.start(b)...)
			a := start(b, "a", o)
			a.awaitReady()
			for range kept { // In a hundred packs each: the next is sent when the last is acknowledged.
				for i := range rooms {
					mustOffer(b, a, fmt.Sprint("room.", i), make([]byte, 64))
				}
				testenv.Eventually(b, "all is acknowledged", func() bool { s := a.node.Stats(); return s.Waiting == 0 && s.InFlight == 0 })
			}
			c := start(b, "c", o, keep(kept))
			c.awaitReady()
			i := 0
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				c.open(fmt.Sprint("room.", i%rooms))
				took = append(took, time.Since(began))
				i++
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// startPair starts two nodes whose rooms only count.
func startPair(b *testing.B, urls []string, rooms ...string) (x, y *machine) {
	b.Helper()
	o := withStream(urls...)
	x, y = start(b, "a", o), start(b, "c", o)
	for _, m := range []*machine{x, y} {
		m.rooms.onlyCounts = true
		m.open(append(rooms, "room")...)
	}
	return x, y
}

// mustOffer publishes as soon as the node takes it.
func mustOffer(b *testing.B, m *machine, room string, payload []byte) {
	for {
		err := m.node.Publish(room, hub.Source{Payload: payload}, "", nil)
		switch err {
		case nil:
			return
		case hub.ErrFull:
			runtime.Gosched()
		default:
			b.Fatal(err)
		}
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
