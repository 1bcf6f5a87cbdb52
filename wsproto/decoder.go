package wsproto

import (
	"math"
	"math/bits"
	"sync"

	"github.com/gobwas/pool/pbytes"
	"github.com/gobwas/ws"
)

// A Message is a whole data message, its fragments joined and inflated, or a control frame. Op zero
// means none.
type Message struct {
	Op         Opcode
	Compressed bool // it came deflated; Payload is not
	Payload    []byte
}

// A Decoder turns the bytes of one connection into messages, however the bytes are cut. The zero
// value with a Limit is ready, at the start of a stream. It belongs to one goroutine and may be
// moved by assignment as long as only the copy is used from then on; a Decoder that is Idle may be
// forgotten and a new one used in its place.
//
//	 ┌────────── next frame ──────────┐
//	 ▼                                │
//	header ──all its bytes──▶ payload ┴─FIN, or a control frame──▶ Message
//	 └───────────any byte that breaks a rule───────────▶ Violation, for good
//
// It holds bytes only for what came in pieces: up to 13 of a header in itself, a control payload in
// a block of 125, and a message in a buffer that grows with what has arrived, never with what was
// announced. A compressed message is assembled as it came and inflated when it is whole, in slices
// if that is wanted, and its inflated bytes are held while they are valid.
type Decoder struct {
	// Limit is the most payload bytes a data message may have, all fragments together and inflated.
	// On the wire a compressed one may have DeflatedMax of that. Zero admits only empty messages.
	Limit int
	// Fragments is the most frames a data message may come in. Zero is no limit.
	Fragments int
	// Client says which end this is: a client's, which takes frames without a mask, or a server's,
	// which takes masked ones.
	Client bool
	// Deflate says that permessage-deflate was agreed on, without context takeover: data messages
	// may come compressed. It may change while the Decoder is Idle.
	Deflate bool
	// Slice is how much of a message one call of Next inflates, about, in what Inflated counts.
	// Zero is no limit.
	Slice int

	parts      uint32        // frames so far of the data message under way
	frames     uint32        // see Frames
	inflated   uint32        // see Inflated
	failed     Violation     // what ended the stream; sticky
	msgOp      Opcode        // of the data message under way; zero between messages
	compressed bool          // the data message under way, or begun last
	op         Opcode        // of the frame under way
	fin        bool          // of the frame under way
	inFrame    bool          // a header was taken and its payload is not complete
	hdrLen     uint8         // bytes in hdr; zero unless the source ended inside a header
	text       utf8Validator // of the text message under way; at its start again when one is complete
	hdr        [maxHeader]byte
	mask       [4]byte
	length     int                      // payload bytes of the frame under way …
	off        int                      // … and how many of them were taken
	buf        []byte                   // the data message under way, or returned last
	control    *[MaxControlPayload]byte // the control payload under way, or returned last
	inflater   *inflater                // of the data message under way, if it is whole but not inflated
}

// minBuffer is where assembly begins: a client that announces much and sends little holds this
// little.
const minBuffer = 256

var (
	// messageBuffers holds what messages are assembled in; larger ones than 256 KiB are left to the
	// collector: what rests in a pool is counted by nobody.
	messageBuffers = pbytes.New(minBuffer, 256<<10)
	controlBuffers = sync.Pool{New: func() any { return new([MaxControlPayload]byte) }}
)

// Next takes bytes from src and returns at most one message; n is how many it took. Call it again
// with the rest until it returns no message (Op zero) and no error: then src is exhausted, unless
// the Decoder is Inflating. err is a Violation; it comes at the first byte that breaks a rule,
// after every message before it was returned, and for every call from then on.
//
// A payload that lies whole in src is unmasked there and returned without a copy, so src must be
// writable; bytes behind n are not touched. Payload is valid until the next call of Next or
// Release, or until src is overwritten.
func (d *Decoder) Next(src []byte) (msg Message, n int, err error) {
	d.recycle()
	if d.inflater != nil {
		msg = d.inflate()
	}
	for d.failed == 0 && msg.Op == 0 && d.inflater == nil {
		if !d.inFrame {
			n += d.takeHeader(src[n:])
			if !d.inFrame {
				break
			}
		}
		var taken int
		msg, taken = d.takePayload(src[n:])
		n += taken
		if d.inFrame {
			break
		}
	}
	if d.failed != 0 {
		d.freeBuffers()
		return Message{}, n, d.failed
	}
	return msg, n, nil
}

// Frames counts the frames begun so far, control frames among them. It wraps around, and starts
// anew with Release: what it is good for is the difference that a call of Next makes.
func (d *Decoder) Frames() uint32 { return d.frames }

// Inflated counts the work of inflating so far, in the bytes that came of it and what blocks count
// for beside those: nothing may come of a block. It wraps around and starts anew as Frames does.
func (d *Decoder) Inflated() uint32 { return d.inflated }

// Partial reports whether a message or a frame has begun and is not complete.
func (d *Decoder) Partial() bool { return d.msgOp != 0 || d.inFrame || d.hdrLen != 0 }

// InMessage reports whether a text or binary message has begun and is not complete.
func (d *Decoder) InMessage() bool { return d.msgOp != 0 }

// Inflating reports whether a message has come whole and is inflated in slices. Then Next takes no
// bytes before that message was returned: call it again, with the same bytes. How long this takes
// is up to the caller, not to the peer.
func (d *Decoder) Inflating() bool { return d.inflater != nil }

// Idle reports whether the stream is between messages and the Decoder holds nothing: no partial
// header, frame, message or buffer. It is so once Next has returned without a message and nothing
// is half read.
func (d *Decoder) Idle() bool {
	return d.failed == 0 && !d.Partial() && d.buf == nil && d.control == nil
}

// Held returns how many bytes of buffers the Decoder holds beside itself: at most DeflatedMax of
// Limit for a message, and one control payload. While it is Inflating they are as many again for
// what came of the message, once that is more than any inflater has room for.
func (d *Decoder) Held() int {
	held := cap(d.buf)
	if d.control != nil {
		held += len(d.control)
	}
	if d.inflater != nil && d.inflater.size > inflatedFirst {
		held += d.inflater.size
	}
	return held
}

// Assembled returns how many bytes have come of the data message under way, on the wire.
func (d *Decoder) Assembled() int { return len(d.buf) }

// Release gives the buffers back and puts the Decoder at the start of a stream. Call it when the
// connection closes.
func (d *Decoder) Release() {
	d.freeBuffers()
	*d = Decoder{Limit: d.Limit, Fragments: d.Fragments, Client: d.Client, Deflate: d.Deflate, Slice: d.Slice}
}

// takePayload takes what src has of the frame's payload and returns the message that it completes,
// if it does.
func (d *Decoder) takePayload(src []byte) (msg Message, n int) {
	n = min(len(src), d.length-d.off)
	part := src[:n:n]
	if !d.Client {
		ws.Cipher(part, d.mask, d.off)
	}
	d.off += n
	d.inFrame = d.off < d.length
	if d.op.IsControl() {
		return d.takeControl(part), n
	}
	return d.takeData(part), n
}

// takeControl returns the control frame if part completes it. It leaves the message around it
// alone.
func (d *Decoder) takeControl(part []byte) Message {
	if len(part) == d.length {
		return Message{Op: d.op, Payload: part}
	}
	if len(part) == 0 {
		return Message{} // src ended behind the header: nothing to hold yet
	}
	if d.control == nil {
		d.control = controlBuffers.Get().(*[MaxControlPayload]byte)
	}
	copy(d.control[d.off-len(part):], part)
	if d.inFrame {
		return Message{}
	}
	return Message{Op: d.op, Payload: d.control[:d.length]}
}

// takeData returns the data message if part completes it.
func (d *Decoder) takeData(part []byte) Message {
	done := d.fin && !d.inFrame
	if d.compressed {
		return d.takeCompressed(part, done)
	}
	if d.msgOp == OpText && (!d.text.valid(part) || done && !d.text.complete()) {
		d.failed = ErrInvalidUTF8
		return Message{}
	}
	if !done {
		d.store(part)
		return Message{}
	}
	msg := Message{Op: d.msgOp, Payload: part}
	if len(d.buf) > 0 {
		d.store(part)
		msg.Payload = d.buf
	}
	d.msgOp = 0
	return msg
}

// takeCompressed is takeData for a message that has to be inflated. Nothing can be said about its
// text before.
func (d *Decoder) takeCompressed(part []byte, done bool) Message {
	if !done {
		d.store(part)
		return Message{}
	}
	if len(d.buf) > 0 {
		d.store(part)
		part = d.buf
	}
	if len(part) == 0 {
		// Not even an empty block (RFC 7692 §7.2.3.6), which zlib takes for nothing, too.
		msg := Message{Op: d.msgOp, Compressed: true, Payload: part}
		d.msgOp = 0
		return msg
	}
	d.inflater = inflaters.Get().(*inflater)
	d.inflater.start(part, d.Limit)
	msg := d.inflate()
	if d.failed == 0 && d.inflater != nil && len(d.buf) == 0 { // They lie in src, ours for this call alone.
		d.store(part)
		d.inflater.source.payload = d.buf[:len(d.inflater.source.payload)]
	}
	return msg
}

// inflate does a slice of a message's inflating and returns the message if that was the last one.
func (d *Decoder) inflate() Message {
	var text *utf8Validator
	if d.msgOp == OpText {
		text = &d.text
	}
	work := d.Slice
	if work == 0 {
		work = math.MaxInt
	}
	f := d.inflater
	whole, v := f.run(work, text)
	d.failed = v
	d.inflated += uint32(work - f.source.work)
	if v != 0 || !whole {
		return Message{}
	}
	messageBuffers.Put(d.buf) // The compressed bytes go before the others come.
	d.buf = append(newMessageBuffer(len(f.out), d.Limit), f.out...)
	d.endInflater()
	msg := Message{Op: d.msgOp, Compressed: true, Payload: d.buf}
	d.msgOp = 0
	return msg
}

func (d *Decoder) endInflater() {
	if d.inflater != nil {
		d.inflater.end()
		d.inflater = nil
	}
}

// store appends part to the buffer. A full one is exchanged for the next power of two, cut at what
// the message may have, so that old and new together stay below twice the limit.
func (d *Decoder) store(part []byte) {
	need := len(d.buf) + len(part)
	if need > cap(d.buf) {
		limit := d.Limit
		if d.compressed {
			limit = DeflatedMax(limit)
		}
		grown := newMessageBuffer(need, limit)
		grown = append(grown, d.buf...)
		messageBuffers.Put(d.buf)
		d.buf = grown
	}
	d.buf = append(d.buf, part...)
}

// newMessageBuffer returns an empty buffer for size bytes or a few more, at most limit.
func newMessageBuffer(size, limit int) []byte {
	if size = max(minBuffer, 1<<bits.Len(uint(max(1, size)-1))); size <= limit {
		return messageBuffers.GetCap(size)
	}
	return make([]byte, 0, limit)
}

// recycle gives back the buffers of the message that was returned last: its time is over.
func (d *Decoder) recycle() {
	if d.msgOp == 0 && d.buf != nil {
		messageBuffers.Put(d.buf)
		d.buf = nil
	}
	if !d.inFrame && d.control != nil {
		controlBuffers.Put(d.control)
		d.control = nil
	}
}

func (d *Decoder) freeBuffers() {
	d.msgOp, d.inFrame = 0, false
	d.endInflater()
	d.recycle()
}
