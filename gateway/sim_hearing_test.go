//go:build linux

package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// parse takes apart what has come, with an independent parser.
func (c *client) parse() {
	if !c.isUpgraded && c.status == 0 && !c.parseHead() {
		return
	}
	if c.status != 0 {
		c.in = nil // the body of a refusal
		return
	}
	for len(c.in) > 0 && c.w.err == nil {
		r := bytes.NewReader(c.in)
		h, err := ws.ReadHeader(r)
		whole := len(c.in) - r.Len() + int(h.Length)
		if err != nil && len(c.in) >= ws.MaxHeaderSize {
			c.fail("%v in %x", err, c.in[:ws.MaxHeaderSize])
			return
		}
		if err != nil || h.Length > 1<<20 || whole > len(c.in) {
			if err == nil && h.Length > int64(max(c.w.plan.message, 125)) {
				c.fail("a frame of %d bytes", h.Length)
			}
			return
		}
		payload := c.in[whole-int(h.Length) : whole]
		c.in = c.in[whole:]
		c.gotFrame(h, payload)
	}
}

// parseHead judges the answer to the request, once it is whole.
func (c *client) parseHead() (isWhole bool) {
	head, behind, ok := bytes.Cut(c.in, []byte("\r\n\r\n"))
	if !ok {
		return false
	}
	c.in = behind
	if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d ", &c.status); err != nil {
		c.fail("an answer that begins with %.40q", head)
	}
	if c.status != 101 {
		c.judge.Refused()
		return true
	}
	c.status = 0
	c.isUpgraded = true
	if !strings.Contains(string(head)+"\r\n", "Sec-WebSocket-Accept: "+wstest.SampleAccept+"\r\n") || c.kind == simBad {
		c.fail("it was upgraded with %q", head)
	}
	c.deflates = strings.Contains(string(head), "\r\n"+simDeflateOffer)
	if c.deflates != (c.offers && c.w.plan.compress) {
		c.fail("it offers compression: %v; it was answered with %q", c.offers, head)
	}
	for i, other := range c.w.clients {
		c.floor[i] = len(other.sent)
	}
	c.floor[c.no] = 0 // A client hears itself from its first word on.
	return true
}

func (c *client) gotFrame(h ws.Header, payload []byte) {
	switch {
	case c.code != 0:
		c.fail("a frame behind the Close frame: %+v %q", h, payload)
	case h.Rsv1() && c.deflates && !h.Rsv2() && !h.Rsv3() && h.Fin && !h.Masked && h.OpCode.IsData():
		c.judge.Heard(h.OpCode, c.w.inflate(payload))
	case h.Masked || h.Rsv != 0 || !h.Fin:
		c.fail("a frame that no server sends: %+v", h)
	case h.OpCode == ws.OpText || h.OpCode == ws.OpBinary:
		c.judge.Heard(h.OpCode, payload)
	case h.OpCode == ws.OpPing:
		if c.mayTalk() && c.kind != simBad {
			c.frame(ws.OpPong, true, payload)
		}
	case h.OpCode == ws.OpPong:
		c.gotPong(string(payload))
	case h.OpCode == ws.OpClose:
		c.gotClose(payload)
	default:
		c.fail("a frame that no server sends: %+v", h)
	}
}

// gotPong checks that pings are answered at most once each, in order, the newest at least.
func (c *client) gotPong(body string) {
	var no int
	if _, err := fmt.Sscanf(body, "%d", &no); err != nil || no <= c.lastPing || no >= c.pings {
		c.fail("a pong with %q after %d of %d pings were answered", body, c.lastPing+1, c.pings)
	}
	c.lastPing = no
}

func (c *client) gotClose(body []byte) {
	c.code = noStatus
	if len(body) >= 2 {
		c.code = int(binary.BigEndian.Uint16(body))
	}
	c.w.kernel.Note("client %d is told %d", c.no, c.code)
	c.judge.Told(c.bye)
	if c.mayTalk() {
		c.sayClose(1000)
	}
	c.quota = 0
}

// ended notes the end of the connection; a client then closes its own side.
func (c *client) ended(err error) {
	c.w.kernel.Note("client %d sees its end: %v", c.no, err)
	byReset := err != nil || c.wasReset
	c.judge.Ended(byReset)
	c.close(c.peer.Close)
}
