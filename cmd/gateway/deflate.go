package main

import (
	"time"

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

// What a client may have us inflate: what text and data honestly deflated come to is free, a stream that is made to be inflated is
// not. One kilobyte can become a megabyte, which costs a millisecond or two.
const (
	inflateFree  = 32       // bytes for each byte that the client sends
	inflateRate  = 4 << 20  // bytes a second beside those
	inflateBurst = 32 << 20 // bytes beyond which the client is closed
)

// A meter is a leaky bucket of what one client had inflated.
type meter struct {
	level int // bytes
	at    time.Duration
}

// read notes that the client sent n bytes.
func (m *meter) read(n int) { m.level = max(0, m.level-inflateFree*n) }

// inflate notes that n bytes were inflated at the time now, and reports whether that is within the burst.
func (m *meter) inflate(n int, now time.Duration) bool {
	leaked := int(min(now-m.at, time.Minute).Seconds() * inflateRate)
	m.level, m.at = max(0, m.level-leaked)+n, now
	return m.level <= inflateBurst
}
