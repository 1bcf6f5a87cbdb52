package gateway

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

// openLoops makes the loops and their rings. After an error some of them may be open.
func (s *Server) openLoops(n int, kernel reactor.Kernel) error {
	for range n {
		w, err := s.newWorker(kernel)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	return s.openRings()
}

func (s *Server) newWorker(kernel reactor.Kernel) (*worker, error) {
	w := new(worker)
	cfg := s.config()
	o := reactor.Options{Kernel: kernel, SourcesMax: s.sourcesMax, KeepsProcessor: runtime.GOMAXPROCS(0) > cfg.Loops}
	if cfg.survives() {
		o.OnPanic = w.panicked
	}
	l, err := reactor.NewLoop(o)
	if err != nil {
		return nil, err
	}
	*w = worker{
		server: s, no: len(s.workers), cfg: cfg, log: s.log, kernel: l.Kernel(), loop: l,
		buf:         make([]byte, readBufferSize),
		ping:        wsproto.AppendFrame(nil, wsproto.OpPing, nil),
		inputBudget: inputBudget{limit: cfg.assemblyShare(), pace: cfg.assemblyPace(), addresses: map[netip.Addr]*addressShare{}},
		headBudget:  headBudget{limit: cfg.headShare()},
		replyBudget: replyBudget{limit: cfg.replyShare()},
	}
	w.encoder.setTo(cfg)
	w.fan = s.hub.NewFanout(l.Wake, w)
	w.decoder = w.newDecoder()
	w.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	if cfg.Cluster != nil {
		l.BeforeSleep(func() time.Duration { w.flushPut(); return -1 }) // No hook publishes.
		l.BeforeSleep(w.takeAcks)
	}
	l.BeforeSleep(w.flush)
	l.AtEnd(w.cutAll)
	l.BeforeSleep(w.retry)
	l.BeforeSleep(w.tell)
	return w, nil
}

// cutAll ends whoever is still there when the loop has ended, on the goroutine that it ran on:
// inflating ends where it began. Their descriptors close with the loop's.
func (w *worker) cutAll() {
	for _, source := range w.loop.Sources {
		if c, ok := source.(*conn); ok {
			r := ClosedCut
			if c.life == lingering { // It was told all.
				r = c.end.reason
			}
			c.forget(r)
		}
	}
}
