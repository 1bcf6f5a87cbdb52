//go:build linux

package simclient

import (
	"errors"
	"syscall"

	"sluice/reactor/reactortest"
)

// A Reader hears a room as server-sent events, over one connection after the other: it is cut, and
// comes back behind the last event that it has had whole, as a browser does.
type Reader struct {
	w     *World
	No    int
	Room  int
	kind  kind // good, slow or pauser
	start int  // step at which it dials next
	pause int  // step at which a pauser reads on
	sip   int
	cuts  int // that are still to come
	tries int // times that it was not let in although all was well

	gone      []*reactortest.Peer // connections that it has left without a word
	isLeaving bool
	isAway    bool // for as long as others say
	IsClosed  bool

	LastID string
	Stream *Stream // nil: it has none
	Judge  ReaderJudge
}

// A ReaderJudge says whether a Reader may hear what it hears.
type ReaderJudge interface {
	Asks(s *Stream)             // it sends its request
	Refused(s *Stream)          // and is refused
	Begins(s *Stream, b *Block) // the first block of a stream
	Hears(s *Stream, b *Block)  // another one with something in it
	Ends(s *Stream, byReset bool)
	Position() (id string)      // a position that its room has now
	Lacks(lastID string) string // what of its room it has not got
}

// Act is a turn of the reader. It reports whether there was anything to do.
func (r *Reader) Act() bool {
	switch {
	case r.IsClosed || r.w.Err != nil:
		return false
	case r.Stream == nil:
		return r.dial()
	}
	s := r.Stream
	busy := false
	if len(s.out) > 0 {
		busy = s.ask()
	}
	if r.Stream == s && r.wantsToRead() {
		busy = s.receive() || busy
	}
	return busy
}

func (r *Reader) dial() bool {
	if r.isAway || r.w.Steps < r.start && !r.w.IsHealing {
		return false
	}
	r.w.Kernel.SetBuffers(r.w.Plan.newBuffers(r.w.Random))
	p, err := r.w.Kernel.Dial(r.w.Listen)
	if err != nil {
		r.IsClosed = !errors.Is(err, syscall.EAGAIN)
		return false
	}
	s := &Stream{Reader: r, Peer: p}
	r.Stream = s
	s.compose()
	if r.cuts > 0 && !r.w.IsHealing && !r.isLeaving {
		s.cutAt = 1 + r.w.Random.IntN([]int{50, 400, 3000}[r.w.Random.IntN(3)])
	}
	r.w.Kernel.Note("reader %d of room %d is connection %d; since %q, last %d", r.No, r.Room, p.No(), s.Since, s.Last)
	r.Judge.Asks(s)
	return true
}

func (r *Reader) wantsToRead() bool {
	switch {
	case r.w.IsHealing:
		return true
	case r.kind == pauser:
		return r.w.Steps < r.start+20 || r.w.Steps >= r.pause
	case r.kind == slow:
		return r.w.Random.IntN(4) == 0
	}
	return r.w.Random.IntN(2) == 0
}

// lose leaves the connection. A reader comes back soon.
func (r *Reader) lose() {
	r.Stream = nil
	r.start = r.w.Steps + r.w.Random.IntN(80)
	r.IsClosed = r.isLeaving || r.w.IsDraining
}

// failed gives up where others have all the places, and says so where they do not.
func (r *Reader) failed() {
	const most = 20
	if !r.w.IsHealing || r.isLeaving {
		return
	}
	if r.tries++; r.tries > most {
		r.isLeaving = true
		if r.w.Plan.Connections >= r.w.Plan.Peers() {
			r.Stream.Fail("it is not let in, again and again")
		}
	}
}

// Forsake makes the reader leave and stay away until Recall.
func (r *Reader) Forsake() {
	r.isAway = true
	if r.Stream != nil {
		r.Stream.IsCut = true
		r.Stream.Peer.Reset()
		r.lose()
	}
	r.hangUp()
}

// Recall ends that.
func (r *Reader) Recall() { r.isAway = false }

// Leave begins the reader's part of the end.
func (r *Reader) Leave() {
	r.isLeaving = true
	defer r.hangUp()
	switch {
	case r.Stream == nil:
		r.IsClosed = true
	case r.w.IsDraining:
	default:
		r.cuts++
		r.Stream.cut()
	}
}

// hangUp resets what it has left.
func (r *Reader) hangUp() {
	for _, p := range r.gone {
		p.Reset()
	}
	r.gone = nil
}

// WaitsFor tells what the reader has not got yet.
func (r *Reader) WaitsFor() string {
	switch s := r.Stream; {
	case r.IsClosed:
		return ""
	case s == nil:
		return "to connect"
	case !s.Began:
		return "the answer to its request"
	}
	return r.Judge.Lacks(r.LastID)
}
