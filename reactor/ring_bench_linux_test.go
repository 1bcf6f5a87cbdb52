package reactor

import (
	"fmt"
	"testing"

	"sluice/reactor/internal/sys"
)

// BenchmarkBatch measures what a batch of writes of 66 bytes to as many sockets costs, each write
// on its own and all by a ring. What was written is read between the batches, off the clock.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 16, 64, 256} {
		b.Run(fmt.Sprintf("plain/%d", n), func(b *testing.B) {
			benchmarkBatch(b, n, func(batch []Send) { SendBatch(sys.Real{}, batch) })
		})
		b.Run(fmt.Sprintf("ring/%d", n), func(b *testing.B) {
			r, err := OpenRing(sys.Real{})
			if err != nil {
				b.Skip(err)
			}
			defer r.Close()
			benchmarkBatch(b, n, func(batch []Send) {
				if err := r.SendBatch(batch); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func benchmarkBatch(b *testing.B, n int, send func([]Send)) {
	batch, peers := make([]Send, n), make([]int, n)
	for i := range batch {
		batch[i].FD, peers[i] = tcpPair(b)
		batch[i].Bytes = make([]byte, 66)
	}
	buf := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		send(batch)
		b.StopTimer()
		for i, fd := range peers {
			if batch[i].N != 66 {
				b.Fatal(batch[i])
			}
			if n, err := (sys.Real{}).Read(fd, buf); n != 66 {
				b.Fatal(n, err)
			}
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/write")
}
