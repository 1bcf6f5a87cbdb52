//go:build linux

package simclient

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// parse takes apart what has come, with an independent parser.
func (c *Client) parse() {
	if !c.IsUpgraded && c.Status == 0 && !c.parseHead() {
		return
	}
	if c.Status != 0 {
		c.In = nil // the body of a refusal
		return
	}
	for len(c.In) > 0 && c.w.Err == nil {
		r := bytes.NewReader(c.In)
		h, err := ws.ReadHeader(r)
		whole := len(c.In) - r.Len() + int(h.Length)
		if err != nil && len(c.In) >= ws.MaxHeaderSize {
			c.Fail("%v in %x", err, c.In[:ws.MaxHeaderSize])
			return
		}
		if err != nil || h.Length > 1<<20 || whole > len(c.In) {
			if err == nil && h.Length > int64(max(c.w.Plan.Message, 125)) {
				c.Fail("a frame of %d bytes", h.Length)
			}
			return
		}
		payload := c.In[whole-int(h.Length) : whole]
		c.In = c.In[whole:]
		c.gotFrame(h, payload)
	}
}

// parseHead judges the answer to the request, once it is whole.
func (c *Client) parseHead() (isWhole bool) {
	head, behind, ok := bytes.Cut(c.In, []byte("\r\n\r\n"))
	if !ok {
		return false
	}
	c.In = behind
	if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d ", &c.Status); err != nil {
		c.Fail("an answer that begins with %.40q", head)
	}
	if c.Status != 101 {
		c.Judge.Refused()
		return true
	}
	c.Status = 0
	c.IsUpgraded = true
	if !strings.Contains(string(head)+"\r\n", "Sec-WebSocket-Accept: "+wstest.SampleAccept+"\r\n") || c.Kind == Bad {
		c.Fail("it was upgraded with %q", head)
	}
	c.Deflates = strings.Contains(string(head), "\r\n"+deflateOffer)
	if c.Deflates != (c.offers && c.w.Plan.Compress) {
		c.Fail("it offers compression: %v; it was answered with %q", c.offers, head)
	}
	for i, other := range c.w.Clients {
		c.Floor[i] = len(other.Sent)
	}
	c.Floor[c.No] = 0 // A client hears itself from its first word on.
	return true
}

func (c *Client) gotFrame(h ws.Header, payload []byte) {
	switch {
	case c.Code != 0:
		c.Fail("a frame behind the Close frame: %+v %q", h, payload)
	case h.Rsv1() && c.Deflates && !h.Rsv2() && !h.Rsv3() && h.Fin && !h.Masked && h.OpCode.IsData():
		c.Judge.Heard(h.OpCode, c.w.inflate(payload))
	case h.Masked || h.Rsv != 0 || !h.Fin:
		c.Fail("a frame that no server sends: %+v", h)
	case h.OpCode == ws.OpText || h.OpCode == ws.OpBinary:
		c.Judge.Heard(h.OpCode, payload)
	case h.OpCode == ws.OpPing:
		if c.mayTalk() && c.Kind != Bad {
			c.frame(ws.OpPong, true, payload)
		}
	case h.OpCode == ws.OpPong:
		c.gotPong(string(payload))
	case h.OpCode == ws.OpClose:
		c.gotClose(payload)
	default:
		c.Fail("a frame that no server sends: %+v", h)
	}
}

// gotPong checks that pings are answered at most once each, in order, the newest at least.
func (c *Client) gotPong(body string) {
	var no int
	if _, err := fmt.Sscanf(body, "%d", &no); err != nil || no <= c.lastPing || no >= c.pings {
		c.Fail("a pong with %q after %d of %d pings were answered", body, c.lastPing+1, c.pings)
	}
	c.lastPing = no
}

func (c *Client) gotClose(body []byte) {
	c.Code = noStatus
	if len(body) >= 2 {
		c.Code = int(binary.BigEndian.Uint16(body))
	}
	c.w.Kernel.Note("client %d is told %d", c.No, c.Code)
	c.Judge.Told(c.Bye)
	if c.mayTalk() {
		c.sayClose(1000)
	}
	c.quota = 0
}

// ended notes the end of the connection; a client then closes its own side.
func (c *Client) ended(err error) {
	c.w.Kernel.Note("client %d sees its end: %v", c.No, err)
	byReset := err != nil || c.wasReset
	c.Judge.Ended(byReset)
	c.close(c.Peer.Close)
}
