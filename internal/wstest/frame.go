package wstest

import (
	"fmt"

	"github.com/gobwas/ws"
)

// Masked is a client's frame, made by an independent encoder. Its payload is left as it was.
func Masked(op ws.OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0x37, 0xfa, 0x21, 0x3d}))
}

// MaskedText is a whole text message.
func MaskedText(s string) []byte { return Masked(ws.OpText, true, s) }

// MaskedBinary is a whole binary message.
func MaskedBinary(s string) []byte { return Masked(ws.OpBinary, true, s) }

// MaskedPing is a ping with a body.
func MaskedPing(s string) []byte { return Masked(ws.OpPing, true, s) }

// MaskedPong is a pong with a body.
func MaskedPong(s string) []byte { return Masked(ws.OpPong, true, s) }

// MaskedClose is a Close frame with a code and a reason.
func MaskedClose(code ws.StatusCode, reason string) []byte {
	return Masked(ws.OpClose, true, string(ws.NewCloseFrameBody(code, reason)))
}

// Fragments are the frames of one message.
func Fragments(op ws.OpCode, parts ...string) (frames [][]byte) {
	for i, p := range parts {
		frames = append(frames, Masked(op, i == len(parts)-1, p))
		op = ws.OpContinuation
	}
	return frames
}

// ZeroMask behind a header leaves the payload as it is.
var ZeroMask = []byte{0, 0, 0, 0}

// FrameBytes joins octets, given as ints, and strings and slices of them.
func FrameBytes(parts ...any) []byte {
	var all []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			all = append(all, byte(p))
		case string:
			all = append(all, p...)
		case []byte:
			all = append(all, p...)
		}
	}
	return all
}

// Describe is a frame in a line.
func Describe(f ws.Frame) string {
	return fmt.Sprintf("opcode %#x fin %t with %d bytes %q", f.Header.OpCode, f.Header.Fin, len(f.Payload), Clip(string(f.Payload)))
}

// Clip is the beginning of a string, for a message to people.
func Clip(s string) string { return s[:min(len(s), 200)] }
