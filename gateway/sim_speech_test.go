//go:build linux

package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

func (c *client) compose() {
	r := c.w.random
	switch {
	case c.asked == 0:
		c.ask()
	case !c.mayTalk() || !c.isUpgraded && !c.isHasty || c.kind == simBad:
	case c.quota > 0 && r.IntN(8) == 0 && c.pings < 1000:
		c.ping()
	case c.quota > 0:
		c.quota--
		c.publish()
	case c.w.isHealing && c.isUpgraded && c.isGood() && !c.lastWords && !c.isGoodbye:
		c.lastWords = true
		c.publish()
		c.ping()
	}
}

// ask sends the request, and perhaps frames right behind it.
func (c *client) ask() {
	c.asked = c.w.steps
	c.out = wstest.UpgradeHead("/ws/" + simRoom(c.room))
	if c.offers {
		c.out = wstest.UpgradeHead("/ws/"+simRoom(c.room), simDeflateOffer)
	}
	if c.kind == simBad {
		switch c.w.random.IntN(4) {
		case 0:
			c.out = c.out[:c.w.random.IntN(len(c.out)-1)] // never whole, perhaps nothing at all
			c.isDeaf = len(c.out) == 0
		case 1:
			c.out = bytes.Replace(c.out, []byte("Version: 13"), []byte("Version: 12"), 1)
		case 2:
			c.out = bytes.Replace(c.out, []byte("GET "), []byte("GET  "), 1)
		case 3:
			c.out = append([]byte("GET /ws/"+simRoom(c.room)+" HTTP/1.1\r\nX: "), bytes.Repeat([]byte("x"), 9000)...)
		}
		return
	}
	if c.isHasty && c.quota > 0 {
		c.quota--
		c.publish()
	}
}

const simDeflateOffer = "Sec-WebSocket-Extensions: permessage-deflate"

func simRoom(no int) string { return fmt.Sprintf("room%d", no) }

// frame appends a frame to what is to be sent, made by an independent encoder.
func (c *client) frame(op ws.OpCode, fin bool, payload []byte) {
	c.out = append(c.out, wstest.Masked(op, fin, string(payload))...)
}

// deflatedFrame is frame with RSV1, which says that the message is deflated (RFC 7692 §6.1).
func (c *client) deflatedFrame(op ws.OpCode, fin bool, payload []byte) {
	at := len(c.out)
	c.frame(op, fin, payload)
	c.out[at] |= 0x40
}

// publish sends a message, in one frame or several, perhaps with a ping between them.
func (c *client) publish() {
	r := c.w.random
	m := c.w.newMessage(c)
	rest, op, frame := m.payload, m.op, c.frame
	if c.deflates && r.IntN(2) == 0 {
		if small := c.w.deflate(rest); len(small) < len(rest) {
			rest, frame = small, c.deflatedFrame
		}
	}
	for r.IntN(3) == 0 && len(rest) > 0 {
		n := r.IntN(len(rest) + 1)
		frame(op, false, rest[:n])
		rest, op, frame = rest[n:], ws.OpContinuation, c.frame
		if r.IntN(4) == 0 {
			c.ping()
		}
	}
	frame(op, true, rest)
}

func (c *client) ping() {
	c.frame(ws.OpPing, true, fmt.Appendf(nil, "%d", c.pings))
	c.pings++
}

// noStatus stands for a Close frame without a code, as RFC 6455 §7.4.1 has it.
const noStatus = 1005

func (c *client) sayClose(code int) {
	c.bye = code
	var body []byte
	if code != noStatus {
		body = ws.NewCloseFrameBody(ws.StatusCode(code), "bye")
	}
	c.frame(ws.OpClose, true, body)
}

// violate breaks a rule. What comes behind it is not heard.
func (c *client) violate() {
	protocol := func(b ...byte) { c.out, c.violation = append(c.out, b...), 1002 }
	switch c.w.random.IntN(9) {
	case 0:
		protocol(0x81, 0x02, 'h', 'i') // no mask
	case 1:
		protocol(0xA1, 0x80, 1, 2, 3, 4) // RSV2
	case 2:
		protocol(0x83, 0x80, 1, 2, 3, 4) // opcode 3
	case 3:
		protocol(0x09, 0x80, 1, 2, 3, 4) // a fragmented ping
	case 4:
		protocol(0x80, 0x80, 1, 2, 3, 4) // a continuation of nothing
	case 5:
		protocol(0x89, 0xFE, 0, 126, 1, 2, 3, 4) // a ping of 126 bytes
	case 6:
		c.frame(ws.OpClose, true, binary.BigEndian.AppendUint16(nil, 5000))
		c.violation = 1002
	case 7:
		c.frame(ws.OpText, true, []byte("bad \xff\xfe text"))
		c.violation = 1007
	case 8:
		c.frame(ws.OpBinary, true, make([]byte, c.w.plan.message+1))
		c.violation = 1009
	}
	c.frame(ws.OpText, true, []byte("not to be heard"))
}
