package wsproto

import (
	"compress/flate"
	"io"
	"sync"
)

// An inflater is what inflating one message takes, a window, code tables and a place for the output: some 48 KB, and the limit on
// top once a message had more than 8 KiB. It belongs to one message at a time, never to a connection. Whatever it met before,
// inflate makes it as new: of earlier messages only bytes remain that no reference can reach.
//
// It is the standard library's, although what deflates here inflates faster: in klauspost/compress v1.20.3 a block that declares
// its codes empty is decoded with those of a block before it, be that another client's.
type inflater struct {
	source deflateSource
	stream io.Reader // what source inflates to
	out    []byte    // what stream has yielded of the message
}

const (
	inflatedFirst = 8 << 10  // the first size of out
	inflatedJump  = 16 << 20 // the most that out grows to at once
)

// inflaters has about as many as there are processors. Those that rest for long are left to the collector.
var inflaters = sync.Pool{New: func() any {
	f := &inflater{out: make([]byte, 0, inflatedFirst)}
	f.stream = flate.NewReader(&f.source)
	return f
}}

// inflate puts into out what payload, that of a whole message, was deflated from (RFC 7692 §7.2.2). It stops at the first byte
// over limit, and at the first piece of a text that is not UTF-8; text is nil for what is none.
//
// Blocks may be marked final (§7.2.3.4). Then the next one follows at the next byte (§7.2.1), with an empty window, as though a
// new stream began; what is no block there makes the whole message invalid. A payload that ends with a final block lacks what §7.2.1 has
// senders put behind it, but nothing of the message, and is accepted.
func (f *inflater) inflate(payload []byte, limit int, text *utf8Validator) Violation {
	f.source = deflateSource{payload: payload}
	f.out = f.out[:0]
	for {
		_ = f.stream.(flate.Resetter).Reset(&f.source, nil) // Fails for no reason but a dictionary.
		violation, err := f.readStream(limit, text)
		switch {
		case violation != 0:
			return violation
		case err == io.EOF && f.source.at < len(payload):
			continue // A final block took ten bits at least.
		case !f.source.isWhole(err):
			return ErrInvalidDeflate
		case text != nil && !text.complete():
			return ErrInvalidUTF8
		}
		return 0
	}
}

// readStream reads until the stream returns an error: io.EOF behind a final block, another one where the input ends.
func (f *inflater) readStream(limit int, text *utf8Validator) (Violation, error) {
	for {
		n, err := f.stream.Read(f.room(limit))
		part := f.out[len(f.out) : len(f.out)+n]
		f.out = f.out[:len(f.out)+n]
		if len(f.out) > limit {
			return ErrTooBig, nil
		}
		if text != nil && !text.valid(part) {
			return ErrInvalidUTF8, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// room returns the free part of out, as far as one byte behind limit. A full one grows to that at once, so that a bomb costs the limit
// and not twice as much; in steps if the limit is so high that it may be meant as none.
func (f *inflater) room(limit int) []byte {
	if len(f.out) == cap(f.out) {
		grown := make([]byte, len(f.out), 1+min(limit, max(inflatedJump, 4*cap(f.out))))
		copy(grown, f.out)
		f.out = grown
	}
	return f.out[len(f.out) : 1+min(limit, cap(f.out)-1)]
}

// end gives f back; it lets go of the payload.
func (f *inflater) end() {
	f.source = deflateSource{}
	inflaters.Put(f)
}

// A deflateSource is a payload and the tail that its sender left away, as the inflater reads it. It finds out whether the tail
// was taken for what it is, the length of an empty stored block: a stored block that is cut off would take it for data, and one of
// Huffman codes for codes. An inflater asks for bits with ReadByte and for whole bytes with Read, so what it reads right behind
// a block's header is a stored block's length, and only that of an empty one fits the tail. Should this ever change, every
// message is refused and every test fails.
type deflateSource struct {
	payload  []byte
	at       int  // of the next byte, in payload and tail together
	inBits   bool // ReadByte was called last
	tailRead bool // the tail was read as a length
}

// ReadByte implements io.ByteReader.
func (s *deflateSource) ReadByte() (b byte, err error) {
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
		return s.tailRead || s.at == len(s.payload)
	case io.ErrUnexpectedEOF: // where another block would begin
		return s.tailRead
	}
	return false
}
