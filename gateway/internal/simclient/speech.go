//go:build linux

package simclient

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

func (c *Client) compose() {
	r := c.w.Random
	switch {
	case c.Asked == 0:
		c.ask()
	case !c.mayTalk() || !c.IsUpgraded && !c.isHasty || c.Kind == Bad:
	case c.quota > 0 && r.IntN(8) == 0 && c.pings < 1000:
		c.ping()
	case c.quota > 0:
		c.quota--
		c.publish()
	case c.w.IsHealing && c.IsUpgraded && c.isGood() && !c.lastWords && !c.isLeaving:
		c.lastWords = true
		c.publish()
		c.ping()
	}
}

// ask sends the request, and perhaps frames right behind it.
func (c *Client) ask() {
	c.Asked = c.w.Steps
	path := "/ws/" + RoomName(c.Room)
	switch {
	case c.Wants == All:
		path += "?last=all"
	case c.Wants > 0:
		path += fmt.Sprintf("?last=%d", c.Wants)
	}
	c.out = wstest.UpgradeHead(path)
	if c.offers {
		c.out = wstest.UpgradeHead(path, deflateOffer)
	}
	c.Judge.Asks()
	if c.Kind == Bad {
		switch c.w.Random.IntN(4) {
		case 0:
			c.out = c.out[:c.w.Random.IntN(len(c.out)-1)] // never whole, perhaps nothing at all
			c.isDeaf = len(c.out) == 0
		case 1:
			c.out = bytes.Replace(c.out, []byte("Version: 13"), []byte("Version: 12"), 1)
		case 2:
			c.out = bytes.Replace(c.out, []byte("GET "), []byte("GET  "), 1)
		case 3:
			c.out = append([]byte("GET /ws/"+RoomName(c.Room)+" HTTP/1.1\r\nX: "), bytes.Repeat([]byte("x"), 9000)...)
		}
		return
	}
	if c.isHasty && c.quota > 0 {
		c.quota--
		c.publish()
	}
}

const deflateOffer = "Sec-WebSocket-Extensions: permessage-deflate"

// RoomName is the name of a room of the plan.
func RoomName(no int) string { return fmt.Sprintf("room%d", no) }

// frame appends a frame to what is to be sent, made by an independent encoder.
func (c *Client) frame(op ws.OpCode, fin bool, payload []byte) {
	c.out = append(c.out, wstest.Masked(op, fin, string(payload))...)
}

// deflatedFrame is frame with RSV1, which says that the message is deflated (RFC 7692 §6.1).
func (c *Client) deflatedFrame(op ws.OpCode, fin bool, payload []byte) {
	at := len(c.out)
	c.frame(op, fin, payload)
	c.out[at] |= 0x40
}

// publish sends a message, in one frame or several, perhaps with a ping between them.
func (c *Client) publish() {
	r := c.w.Random
	m := c.w.newMessage(c)
	rest, op, frame := m.Payload, m.Op, c.frame
	if c.Deflates && r.IntN(2) == 0 {
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

func (c *Client) ping() {
	c.frame(ws.OpPing, true, fmt.Appendf(nil, "%d", c.pings))
	c.pings++
}

// noStatus stands for a Close frame without a code, as RFC 6455 §7.4.1 has it.
const noStatus = 1005

func (c *Client) sayClose(code int) {
	c.Bye = code
	var body []byte
	if code != noStatus {
		body = ws.NewCloseFrameBody(ws.StatusCode(code), "bye")
	}
	c.frame(ws.OpClose, true, body)
}

// violate breaks a rule. What comes behind it is not heard.
func (c *Client) violate() {
	protocol := func(b ...byte) { c.out, c.Violation = append(c.out, b...), 1002 }
	switch c.w.Random.IntN(9) {
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
		c.Violation = 1002
	case 7:
		c.frame(ws.OpText, true, []byte("bad \xff\xfe text"))
		c.Violation = 1007
	case 8:
		c.frame(ws.OpBinary, true, make([]byte, c.w.Plan.Message+1))
		c.Violation = 1009
	}
	c.frame(ws.OpText, true, []byte("not to be heard"))
}
