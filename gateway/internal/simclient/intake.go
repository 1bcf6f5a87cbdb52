//go:build linux

package simclient

import (
	"bytes"
	"time"

	"github.com/gobwas/ws"
)

// An Intake is what the gateway has read of one client, taken apart by an independent parser, and
// what that leaves of the client's rates. Everything a loop decodes in a tick happens at one time,
// the tick's.
type Intake struct {
	in      []byte // of a frame whose header is not whole
	body    int    // bytes of the present frame's payload that have not come
	isData  bool   // the present frame is a message's
	isLast  bool   // … and its last one
	message int    // bytes of the message that is not whole
	Fresh   int    // bytes read since the last look …
	Most    int    // … and the most of message since then
	isOpen  bool   // the request is through
	isOver  bool   // what comes is nothing that is decoded
	bytes   int    // read behind the request
	marks   []mark // in what was read and not yet decoded
	Pails   [NumRates]Pail
}

// A Rate is what a rate of the gateway counts.
type Rate uint8

const (
	Frames Rate = iota
	Pings
	Messages
	Bytes
	NumRates
)

// A mark says that once at bytes are decoded there is one more of what a rate counts.
type mark struct {
	at   int
	what Rate
}

// A Pail is a token bucket in the plainest way: what it holds flows in all the time, and of that it
// keeps one second's worth.
type Pail struct {
	Rate  float64
	holds float64
	At    time.Duration
	taken []serving // the latest
}

type serving struct {
	n  int
	at time.Duration
}

func newPail(rate int) Pail { return Pail{Rate: float64(rate), holds: float64(rate)} }

func (p *Pail) take(n int, now time.Duration) {
	if p.Rate > 0 {
		p.holds = min(p.Rate, p.holds+p.Rate*(now-p.At).Seconds()) - float64(n)
		p.At = now
		p.taken = append(p.taken, serving{n, now})
	}
}

// Owes is how much is missing in the pail at the time now.
func (p *Pail) Owes(now time.Duration) float64 { return -(p.holds + p.Rate*(now-p.At).Seconds()) }

// Since is how much was taken from a time on.
func (p *Pail) Since(from time.Duration) (n int) {
	for _, s := range p.taken {
		if s.at >= from {
			n += s.n
		}
	}
	return n
}

// Read notes what came of a read.
func (i *Intake) Read(p []byte, now time.Duration) {
	if i.isOver {
		return
	}
	i.in = append(i.in, p...)
	if !i.isOpen {
		head := bytes.Index(i.in, []byte("\r\n\r\n"))
		if head < 0 {
			return
		}
		i.isOpen = true
		i.in = i.in[head+4:]
		p = i.in
	}
	i.bytes += len(p)
	i.Fresh += len(p)
	i.Pails[Bytes].take(len(p), now)
	i.parse()
}

// parse marks what is in the bytes that were read.
func (i *Intake) parse() {
	for !i.isOver {
		i.skip(min(i.body, len(i.in)))
		if i.body > 0 {
			return
		}
		r := bytes.NewReader(i.in)
		h, err := ws.ReadHeader(r)
		if err != nil {
			return // The header is not whole.
		}
		i.isOver = !h.Masked || h.OpCode.IsReserved() || h.OpCode == ws.OpClose
		i.in = i.in[len(i.in)-r.Len():]
		i.body, i.isData, i.isLast = int(h.Length), !h.OpCode.IsControl(), h.Fin
		begun := i.bytes - len(i.in)
		i.mark(begun, Frames)
		switch {
		case h.OpCode == ws.OpPing:
			i.mark(begun+i.body, Pings)
		case i.isData && h.Fin:
			i.mark(begun+i.body, Messages)
		}
	}
}

// skip takes n bytes of the present frame's payload.
func (i *Intake) skip(n int) {
	i.in, i.body = i.in[n:], i.body-n
	if !i.isData {
		return
	}
	i.message += n
	i.Most = max(i.Most, i.message)
	if i.body == 0 && i.isLast {
		i.message = 0
	}
}

func (i *Intake) mark(at int, what Rate) { i.marks = append(i.marks, mark{at, what}) }

// Looked begins the next look.
func (i *Intake) Looked() { i.Fresh, i.Most = 0, i.message }

// Decoded notes that in the tick of the time now all was decoded but the last few bytes.
func (i *Intake) Decoded(waiting int, now time.Duration) {
	kept := i.marks[:0]
	for _, m := range i.marks {
		if m.at <= i.bytes-waiting {
			i.Pails[m.what].take(1, now)
		} else {
			kept = append(kept, m)
		}
	}
	i.marks = kept
}
