//go:build linux

package gateway

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"

	"github.com/gobwas/ws"
)

// A simMessage is one message as its publisher made it. Whoever receives it says which one came before, and they must agree:
// so all of a room see stretches of one order.
type simMessage struct {
	by         *client
	no         int
	op         ws.OpCode
	payload    []byte
	next, prev *simMessage // in the room's order, once somebody has seen both
	firstSeen  int         // step
}

// simName is what every message begins with: who says it, and its number there.
const simName = "%03d %05d "

func (w *simWorld) newMessage(c *client) *simMessage {
	m := &simMessage{by: c, no: len(c.sent), op: ws.OpText}
	m.payload = fmt.Appendf(nil, simName, c.no, m.no)
	size := w.random.IntN(w.plan.message - len(m.payload) + 1)
	if w.random.IntN(2) == 0 {
		size = w.random.IntN(size + 1)
	}
	if w.random.IntN(3) == 0 {
		m.op = ws.OpBinary
	}
	for size > 0 {
		letter := []byte(string([]rune{'a' + rune((m.no+size)%26), 'ø', '€', '🙂'}[w.random.IntN(4)]))
		if m.op == ws.OpBinary || len(letter) > size {
			letter = []byte{byte('a' + (m.no+size)%26)}
		}
		m.payload = append(m.payload, letter...)
		size -= len(letter)
	}
	c.sent = append(c.sent, m)
	return m
}

// deflate is what RFC 7692 §7.2.1 makes of p, by an independent encoder.
func (w *simWorld) deflate(p []byte) []byte {
	var b bytes.Buffer
	if w.deflater == nil {
		w.deflater, _ = flate.NewWriter(&b, flate.BestSpeed) // The level is a valid one.
	} else {
		w.deflater.Reset(&b)
	}
	w.deflater.Write(p) // To memory, which cannot fail.
	w.deflater.Flush()
	return bytes.TrimSuffix(b.Bytes(), simDeflateTail[:4])
}

// simDeflateTail ends a deflated message: the empty block that was left out (RFC 7692 §7.2.2), and one that says that it is the last.
var simDeflateTail = []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}

// inflate undoes deflate, or returns what nobody sent.
func (w *simWorld) inflate(p []byte) []byte {
	w.inflated++
	r := io.MultiReader(bytes.NewReader(p), bytes.NewReader(simDeflateTail))
	if w.inflater == nil {
		w.inflater = flate.NewReader(r)
	} else if err := w.inflater.(flate.Resetter).Reset(r, nil); err != nil {
		return []byte(err.Error())
	}
	message, err := io.ReadAll(io.LimitReader(w.inflater, int64(w.plan.message)+1))
	if err != nil {
		return []byte(err.Error())
	}
	return message
}
