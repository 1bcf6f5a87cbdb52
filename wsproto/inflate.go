package wsproto

import (
	"bytes"
	"compress/flate"
	"io"
	"iter"
	"math"
	"sync"
)

// An inflater is what inflating one message takes, a window, code tables and a place for the
// output: some 48 KB, and the limit on top once a message had more than 8 KiB. It belongs to one
// message at a time, never to a connection. Whatever it met before, start makes it as new: of
// earlier messages only bytes remain that no reference can reach.
//
// It is the standard library's, although what deflates here inflates faster: in klauspost/compress
// v1.20.3 a block that declares its codes empty is decoded with those of a block before it, be that
// another client's.
//
// A message is inflated in slices of work. Between two of the library's Reads that is a matter of
// returning; but a Read hands out a window of 32 KiB, and reads whatever it takes to fill that: a
// payload of blocks that declare codes, 30 µs for each 50 bytes, and of which little comes or
// nothing. So a payload that is more to read than what is left of a slice is inflated in a
// coroutine, which stops where it wants the next byte. It ends with the message.
type inflater struct {
	source deflateSource
	stream io.Reader // what source inflates to
	out    []byte    // what stream has yielded of the message
	size   int       // bytes of out that the message may fill so far; a pooled one may have more
	limit  int

	resume  func() (struct{}, bool) // lets the coroutine go on; nil: there is none
	stop    func()
	into    []byte // what it is to read into …
	n       int    // … and what came of that, …
	err     error
	hasRead bool // … if it did come to its end
}

const (
	inflatedFirst = 8 << 10  // the first size of out
	inflatedJump  = 16 << 20 // the most that out grows to at once

	// byteWork is the work of reading a byte of a payload, in bytes that come of it. Usual codes
	// yield more than that of one, and the costliest as many take eight times as long.
	byteWork = 4
)

// inflaters has about as many as there are processors and messages under way. Those that rest for
// long are left to the collector.
var inflaters = sync.Pool{New: func() any {
	f := &inflater{out: make([]byte, 0, inflatedFirst)}
	f.stream = flate.NewReader(&f.source)
	return f
}}

// start makes f inflate payload, that of a whole message, of which at most limit bytes may come.
func (f *inflater) start(payload []byte, limit int) {
	f.source = deflateSource{payload: payload}
	if bytes.HasSuffix(payload, []byte(deflateTail)) {
		// Its sender left the tail on. Nothing else ends so but a final block's data, which is the
		// same with the tail that is put behind it: the header of an empty block ends with zeros.
		f.source.payload, f.source.hasTail = payload[:len(payload)-len(deflateTail)], true
	}
	f.out, f.size, f.limit = f.out[:0], inflatedFirst, min(limit, math.MaxInt-1)
	f.restart()
}

// restart begins a stream, at the byte of the payload that is next.
func (f *inflater) restart() {
	_ = f.stream.(flate.Resetter).Reset(&f.source, nil) // Fails for no reason but a dictionary.
}

// run puts into out what payload was deflated from (RFC 7692 §7.2.2), until work is spent, counted
// in bytes that come of it, and reports whether that is all. It stops at the first byte over limit,
// and at the first piece of a text that is not UTF-8; text is nil for what is none.
//
// Blocks may be marked final (§7.2.3.4). Then the next one follows at the next byte (§7.2.1), with
// an empty window, as though a new stream began; what is no block there makes the whole message
// invalid. A payload that ends with a final block lacks what §7.2.1 makes senders put behind it,
// but nothing of the message, and is accepted.
func (f *inflater) run(work int, text *utf8Validator) (whole bool, v Violation) {
	s := &f.source
	for s.work = work; s.work > 0; {
		n, err, isPaused := f.read()
		if isPaused {
			return false, 0
		}
		part := f.out[len(f.out) : len(f.out)+n]
		f.out = f.out[:len(f.out)+n]
		s.work -= n
		switch {
		case len(f.out) > f.limit:
			return false, ErrTooBig
		case text != nil && !text.valid(part):
			return false, ErrInvalidUTF8
		case err == nil:
		case err == io.EOF && s.at < len(s.payload):
			f.restart() // A final block took ten bits at least.
		case !s.isWhole(err):
			return false, ErrInvalidDeflate
		case text != nil && !text.complete():
			return false, ErrInvalidUTF8
		default:
			return true, 0
		}
	}
	if f.resume == nil {
		f.keepCounted()
	}
	return false, 0
}

// keepCounted makes out no larger than what is counted for a message that waits: what it was given
// may be what a larger one needed.
func (f *inflater) keepCounted() {
	if cap(f.out) > f.size {
		f.out = append(make([]byte, 0, f.size), f.out...)
	}
}

// read reads from the stream into what is free of out. It pauses when the slice is over; the next
// read then goes on.
func (f *inflater) read() (n int, err error, isPaused bool) {
	f.into = f.room()
	if f.resume == nil {
		if left := len(f.source.payload) - f.source.at; left <= f.source.work/byteWork {
			n, err = f.stream.Read(f.into)
			return n, err, false
		}
		f.keepCounted()
		f.into = f.room()
		f.resume, f.stop = iter.Pull(f.reads)
	}
	f.hasRead = false
	f.resume()
	return f.n, f.err, !f.hasRead
}

// reads is the coroutine: it yields after each Read, and in the midst of one when the slice is
// over.
func (f *inflater) reads(yield func(struct{}) bool) {
	goOn := true
	f.source.pause = func() bool {
		goOn = goOn && yield(struct{}{})
		return goOn
	}
	for goOn {
		f.n, f.err = f.stream.Read(f.into)
		f.hasRead = true
		goOn = goOn && yield(struct{}{})
	}
}

// room returns the free part of out, as far as one byte behind limit. A full one grows to that at
// once, so that a bomb costs the limit and not twice as much; in steps if the limit is so high that
// it may be meant as none.
func (f *inflater) room() []byte {
	if len(f.out) == f.size {
		f.size = 1 + min(f.limit, max(inflatedJump, 4*f.size))
		if cap(f.out) < f.size {
			grown := make([]byte, len(f.out), f.size)
			copy(grown, f.out)
			f.out = grown
		}
	}
	return f.out[len(f.out):min(f.size, f.limit+1)]
}

// end gives f back; it lets go of the payload.
func (f *inflater) end() {
	if f.stop != nil {
		f.stop()
		f.resume, f.stop = nil, nil
	}
	f.source, f.into = deflateSource{}, nil
	inflaters.Put(f)
}

// A deflateSource is a payload and the tail that its sender left away, as the inflater reads it. It
// finds out whether the tail was taken for what it is, the length of an empty stored block: a
// stored block that is cut off would take it for data, and one of Huffman codes for codes. An
// inflater asks for bits with ReadByte and for whole bytes with Read, so what it reads right behind
// a block's header is a stored block's length, and only that of an empty one fits the tail. Should
// this ever change, every message is refused and every test fails.
type deflateSource struct {
	payload  []byte
	at       int         // of the next byte, in payload and tail together
	work     int         // what is left of the slice, see run
	pause    func() bool // waits for the next slice, false: there is none; nil: the slice ends later
	hasTail  bool        // the tail has been cut off payload
	inBits   bool        // ReadByte was called last
	tailRead bool        // the tail was read as a length
}

// ReadByte implements io.ByteReader.
func (s *deflateSource) ReadByte() (b byte, err error) {
	if s.work -= byteWork; s.work <= 0 && s.pause != nil && !s.pause() {
		return 0, io.ErrClosedPipe // Nobody wants to know any longer.
	}
	switch end := len(s.payload); {
	case s.at < end:
		b = s.payload[s.at]
	case s.at < end+len(deflateTail):
		b = deflateTail[s.at-end]
	default:
		return 0, io.EOF
	}
	s.at++
	s.inBits = true
	return b, nil
}

// Read implements io.Reader. It does not read across the end of the payload.
func (s *deflateSource) Read(p []byte) (n int, err error) {
	isLength := s.inBits
	s.inBits = false
	end := len(s.payload) + len(deflateTail)
	switch {
	case s.at < len(s.payload):
		n = copy(p, s.payload[s.at:])
	case s.at < end:
		n = copy(p, deflateTail[s.at-len(s.payload):])
	default:
		return 0, io.EOF
	}
	s.at += n
	s.tailRead = isLength && n == len(p) && s.at == end
	return n, nil
}

// isWhole reports whether a message may end where inflating did, with err.
func (s *deflateSource) isWhole(err error) bool {
	switch err {
	case io.EOF: // behind a final block
		return s.tailRead || s.at == len(s.payload) || s.hasTail && s.at == len(s.payload)+len(deflateTail)
	case io.ErrUnexpectedEOF: // where another block would begin
		return s.tailRead
	}
	return false
}
