package wsproto

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/flate"
)

// deflateTail ends every message that is deflated and flushed: the length, and its complement, of
// an empty stored block. It is not sent; the receiver puts it back (RFC 7692 §7.2.1, §7.2.2).
const deflateTail = "\x00\x00\xff\xff"

// AppendDeflatedHeader appends the header of an unmasked frame that is a whole message of length
// bytes from AppendDeflated, at most MaxServerHeader bytes. It panics unless op is text or binary:
// no other frame may be compressed.
func AppendDeflatedHeader(dst []byte, op Opcode, length int) []byte {
	if !op.isData() {
		panic(fmt.Sprintf("wsproto: compressed frame with opcode %#x", byte(op)))
	}
	first := len(dst)
	dst = appendHeader(dst, op, true, 0, length)
	dst[first] |= rsv1Bit
	return dst
}

// AppendDeflated appends payload as permessage-deflate has it on the wire without context takeover
// (RFC 7692 §7.2.1): it can be inflated by itself, by any client that agreed to the extension.
// payload must not overlap the spare capacity of dst. What does not compress grows by 5 bytes in 24
// KiB, and 6 at the least. Nothing is allocated but what dst grows by.
func AppendDeflated(dst, payload []byte) []byte {
	if len(payload) == 0 {
		return append(dst, 0) // An empty stored block without its tail (§7.2.3.6).
	}
	w := appenders.Get().(*appender)
	w.dst = dst
	// Goes through payload in blocks of at most 32 KiB and keeps none of it. The error could only
	// be the appender's.
	_ = flate.StatelessDeflate(w, payload, false, nil)
	dst = w.dst[:len(w.dst)-len(deflateTail)]
	w.dst = nil
	appenders.Put(w)
	return dst
}

// StoredMax is the most that one stored block holds.
const StoredMax = 1<<16 - 1

// AppendStored appends bytes as a block that is stored as it is (RFC 1951 §3.2.4), which can begin
// what AppendDeflated continues: the bytes can still be changed there, because nothing behind them
// refers to them. They are the last of what is appended. It panics if they are more than StoredMax.
func AppendStored(dst, payload []byte) []byte {
	if len(payload) > StoredMax {
		panic(fmt.Sprintf("wsproto: %d bytes for one stored block", len(payload)))
	}
	dst = append(dst, 0) // Not the last block, and of type 0; the rest of the byte is left out.
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(payload)))
	dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(payload)))
	return append(dst, payload...)
}

// An appender is an io.Writer to the end of a slice.
type appender struct{ dst []byte }

var appenders = sync.Pool{New: func() any { return new(appender) }}

func (a *appender) Write(p []byte) (int, error) {
	a.dst = append(a.dst, p...)
	return len(p), nil
}
