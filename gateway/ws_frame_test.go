package gateway

import (
	"fmt"

	"github.com/gobwas/ws"
)

// masked is a client's frame, made by an independent encoder. Its payload is left as it was.
func masked(op ws.OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameInPlaceWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0x37, 0xfa, 0x21, 0x3d}))
}

func maskedText(s string) []byte { return masked(ws.OpText, true, s) }

func maskedBinary(s string) []byte { return masked(ws.OpBinary, true, s) }

func maskedPing(s string) []byte { return masked(ws.OpPing, true, s) }

func maskedPong(s string) []byte { return masked(ws.OpPong, true, s) }

func maskedClose(code ws.StatusCode, reason string) []byte {
	return masked(ws.OpClose, true, string(ws.NewCloseFrameBody(code, reason)))
}

// fragments are the frames of one message.
func fragments(op ws.OpCode, parts ...string) (frames [][]byte) {
	for i, p := range parts {
		frames = append(frames, masked(op, i == len(parts)-1, p))
		op = ws.OpContinuation
	}
	return frames
}

// zeroMask behind a header leaves the payload as it is.
var zeroMask = []byte{0, 0, 0, 0}

func frameBytes(parts ...any) []byte {
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

func describe(f ws.Frame) string {
	return fmt.Sprintf("opcode %#x fin %t with %d bytes %q", f.Header.OpCode, f.Header.Fin, len(f.Payload), clip(string(f.Payload)))
}

func clip(s string) string { return s[:min(len(s), 200)] }
