package process

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"sluice/loadtest/internal/eventstream"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/shared"
	"sluice/wsproto"
)

// hearers is a process whose clients are in one room without a server: they are handed what one
// would send.
func hearers(tb testing.TB, cfg load.Load) *Process {
	tb.Helper()
	cfg.Loops, cfg.Rooms, cfg.Publishers, cfg.RoomsPerClient, cfg.Messages, cfg.Window = 1, 1, 1, 1, 1, 1
	cfg.Size = load.FixedSize(64)
	layout := shared.Layout{Rooms: 1, Streams: 1, SlotsPerStream: 64, Processes: 1}
	target := &load.Target{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Paths: []string{"/"}}
	p, err := New(&cfg, []*load.Target{target}, shared.Alone(layout), payload.NewTag())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Release)
	for _, c := range p.workers[0].clients {
		c.state = joined
		c.join()
		if c.at != nil {
			c.at.move(eventstream.Position{Epoch: []byte("epoch")})
		}
	}
	return p
}

// A publication as the gateway writes it, with 64 bytes of text, is as long as a plain message of
// plainSize.
const (
	publication = `{"push":{"channel":"room-0","pub":{"offset":%-20d,` +
		`"info":{"client":"0.100000001-5637f6ee"},"data":"%s"}}}`
	plainSize = 182
)

// nextFrames is what a server sends of the next few messages: alone, or as publications.
func nextFrames(p *Process, n int) (frames []byte) {
	st := p.streams[0]
	for range n {
		seq := st.sent.Load()
		st.slot(seq).Begin(seq, math.MaxInt32, 0)
		st.sent.Store(seq + 1)
		size := plainSize
		if p.cfg.Protocol == load.Centrifuge {
			size = 64
		}
		message := payload.Append(nil, p.tag, payload.Stamp{Seq: seq}, size)
		if p.cfg.Protocol == load.Centrifuge {
			message = fmt.Appendf(nil, publication, seq+1, message)
		}
		frames = wsproto.AppendFrame(frames, wsproto.OpText, message)
	}
	return frames
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	const clients, messages, warmup, runs = 3, 16, 200, 50
	for _, protocol := range []string{"plain", load.Centrifuge} {
		p := hearers(t, load.Load{Clients: clients, Protocol: protocol})
		w := p.workers[0]
		var reads [][]byte
		for range warmup + 1 + runs {
			reads = append(reads, nextFrames(p, messages))
		}
		deliver := func() {
			for _, c := range w.clients {
				c.consume(reads[0])
			}
			w.report()
			reads = reads[1:]
		}
		for range warmup { // What is remembered has its place then.
			deliver()
		}
		if n := testing.AllocsPerRun(runs, deliver); n > 0 {
			t.Errorf("%s: %v allocations for %d deliveries", protocol, n, clients*messages)
		}
		want := Counts{Delivered: (warmup + 1 + runs) * messages}
		for _, c := range w.clients {
			if c.check.counts != want {
				t.Errorf("%s: %+v, want %+v", protocol, c.check.counts, want)
			}
			if at := c.at; at != nil && (at.offset != want.Delivered || at.counts != PositionCounts{} || at.jumped > 0) {
				t.Errorf("a subscriber stands at %+v", at)
			}
		}
	}
}

// BenchmarkDelivery is what one message costs a client beside the system call, sixteen in a read,
// plain and as a publication of the same length:
//
//	go test ./loadtest/internal/process -run '^$' -bench Delivery
func BenchmarkDelivery(b *testing.B) {
	const clients, messages = 1000, 16
	for _, protocol := range []string{"plain", load.Centrifuge} {
		b.Run(protocol, func(b *testing.B) {
			p := hearers(b, load.Load{Clients: clients, Protocol: protocol})
			w := p.workers[0]
			b.ReportAllocs()
			delivered := 0
			for b.Loop() {
				b.StopTimer()
				frames := nextFrames(p, messages)
				b.StartTimer()
				for _, c := range w.clients {
					copy(w.buf, frames)
					c.consume(w.buf[:len(frames)])
				}
				w.report()
				delivered += messages * clients
			}
			if got := int(p.rank.Stats.Totals.Progress.Load()); got != delivered {
				b.Fatalf("%d of %d came", got, delivered)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(delivered), "ns/delivery")
		})
	}
}
