//go:build linux

package simclient

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"time"

	"github.com/gobwas/ws"
)

// A Message is one message as its publisher made it. Whoever receives it says which one came
// before, and they must agree: so all of a room see stretches of one order.
type Message struct {
	By         *Client
	No         int
	Op         ws.OpCode
	Payload    []byte
	IsValue    bool     // in JSON, as a client of the Centrifuge protocol publishes it
	Next, Prev *Message // in the room's order, once somebody has seen both
	FirstSeen  int      // step

	Made   time.Duration // when it was thought of: it was published later
	Epoch  string        // of its room, once somebody knows …
	Offset uint64        // … and its place there
}

// IsBefore notes that somebody heard another message of the room right behind m, and reports
// whether nobody has heard otherwise.
func (m *Message) IsBefore(behind *Message) bool {
	if m.Next == nil && behind.Prev == nil {
		m.Next, behind.Prev = behind, m
	}
	return m.Next == behind
}

// MessageName is what every message begins with: who says it, and its number there.
const MessageName = "%03d %05d "

// newMessage thinks of something for a client to say.
func (w *World) newMessage(c *Client) *Message {
	m := &Message{By: c, No: len(c.Sent), Op: ws.OpText, Made: w.Kernel.Now()}
	m.Payload = fmt.Appendf(nil, MessageName, c.No, m.No)
	size := w.Random.IntN(w.Plan.Message - len(m.Payload) + 1)
	if w.Random.IntN(2) == 0 {
		size = w.Random.IntN(size + 1)
	}
	if w.Random.IntN(3) == 0 {
		m.Op = ws.OpBinary
	}
	for size > 0 {
		letter := []byte(string([]rune{'a' + rune((m.No+size)%26), 'ø', '€', '🙂'}[w.Random.IntN(4)]))
		if m.Op == ws.OpBinary || len(letter) > size {
			letter = []byte{byte('a' + (m.No+size)%26)}
		}
		m.Payload = append(m.Payload, letter...)
		size -= len(letter)
	}
	c.Sent = append(c.Sent, m)
	return m
}

// deflate is what RFC 7692 §7.2.1 makes of p, by an independent encoder.
func (w *World) deflate(p []byte) []byte {
	var b bytes.Buffer
	if w.deflater == nil {
		w.deflater, _ = flate.NewWriter(&b, flate.BestSpeed) // The level is a valid one.
	} else {
		w.deflater.Reset(&b)
	}
	w.deflater.Write(p) // To memory, which cannot fail.
	w.deflater.Flush()
	return bytes.TrimSuffix(b.Bytes(), deflateTail[:4])
}

// deflateTail ends a deflated message: the empty block that was left out (RFC 7692 §7.2.2), and one
// that says that it is the last.
var deflateTail = []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}

// inflate undoes deflate, or returns what nobody sent.
func (w *World) inflate(p []byte) []byte {
	w.Inflated++
	r := io.MultiReader(bytes.NewReader(p), bytes.NewReader(deflateTail))
	if w.inflater == nil {
		w.inflater = flate.NewReader(r)
	} else if err := w.inflater.(flate.Resetter).Reset(r, nil); err != nil {
		return []byte(err.Error())
	}
	message, err := io.ReadAll(io.LimitReader(w.inflater, w.Plan.inflatedMax()))
	if err != nil {
		return []byte(err.Error())
	}
	return message
}

// inflatedMax is more than a message may be behind its inflation: a push has more than what was
// published.
func (p *Plan) inflatedMax() int64 {
	if p.Subscribers.Number > 0 {
		return 1 << 20
	}
	return int64(p.Message) + 1
}
