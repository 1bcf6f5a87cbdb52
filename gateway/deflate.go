package gateway

import (
	"sluice/hub"
	"sluice/wsproto"
)

// compressMax bounds how long deflating one message may hold its loop: some 2 ms. A larger one goes out as it is.
const compressMax = 256 << 10

// encode makes frames of a message that is to be published, in the worker's buffers: valid until the next call. It is deflated
// where that is asked for and worth it, before the room's lock is taken.
func (w *worker) encode(m wsproto.Message, deflate bool) *hub.Message {
	w.header = wsproto.AppendHeader(w.header[:0], m.Op, true, len(m.Payload))
	w.message = hub.Message{Plain: hub.Frame{Head: w.header, Payload: m.Payload}}
	if !deflate || len(m.Payload) < int(w.cfg.CompressMin) || len(m.Payload) > compressMax {
		return &w.message
	}
	w.deflated = wsproto.AppendDeflated(w.deflated[:0], m.Payload)
	w.stats.Deflated++
	w.stats.DeflatedFrom += uint64(len(m.Payload))
	w.stats.DeflatedTo += uint64(len(w.deflated))
	if len(w.deflated) < len(m.Payload) {
		w.deflatedHeader = wsproto.AppendDeflatedHeader(w.deflatedHeader[:0], m.Op, len(w.deflated))
		w.message.Deflated = hub.Frame{Head: w.deflatedHeader, Payload: w.deflated}
	}
	return &w.message
}
