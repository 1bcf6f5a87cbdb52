// Package eventstream reads server-sent events as they come, in pieces of any size: the WHATWG's
// HTML, "Server-sent events", 9.2.5 and 9.2.6. It shares nothing with package sse, which it judges.
package eventstream

import (
	"bytes"
	"fmt"
)

// An Event is a block of a stream: what stands between two empty lines. Its slices are valid until
// the next call of Next, and as long as the bytes that were given to it.
type Event struct {
	Type    []byte // empty where the stream names none
	Data    []byte // its lines, with LF between them
	ID      []byte
	HasData bool // without it clients drop the event, but keep its id
	HasID   bool
}

// A Decoder takes events out of a stream. Its zero value is at the beginning of one, and holds
// memory only in the middle of an event. It belongs to one goroutine.
type Decoder struct {
	// Limit is how many bytes an event may have until it is whole.
	Limit int

	held    []byte // of an event that is not whole
	line    int    // where in held its last line begins
	seen    int    // how much of held was searched for a line's end
	isBegun bool   // past the place for a byte order mark
	skipsLF bool   // an event ended with CR: an LF that follows belongs to it
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// Next takes the next event out of p. n is how many bytes it has used; without an event that is all
// of p. After an error the stream cannot be read on.
func (d *Decoder) Next(p []byte) (e Event, n int, isEvent bool, err error) {
	if d.skipsLF && len(p) > 0 {
		d.skipsLF = false
		if p[0] == '\n' {
			p, n = p[1:], 1
		}
	}
	buf := p
	if len(d.held) > 0 {
		d.held = append(d.held, p...)
		buf = d.held
	}
	before := len(buf) - len(p)
	end, after := d.blockEnd(buf)
	if after == 0 {
		if len(buf) > d.Limit {
			return Event{}, n + len(p), false, fmt.Errorf("an event of more than %d bytes", d.Limit)
		}
		if before == 0 {
			d.held = append(d.held, p...)
		}
		return Event{}, n + len(p), false, nil
	}
	block := buf[:end]
	if !d.isBegun {
		d.isBegun = true
		block = bytes.TrimPrefix(block, byteOrderMark)
	}
	// What was held goes to the caller with the event.
	d.held, d.line, d.seen = nil, 0, 0
	return parse(block), n + after - before, true, nil
}

// blockEnd finds the empty line that ends the event at the beginning of buf, and what follows it.
// after is zero if it has not come.
func (d *Decoder) blockEnd(buf []byte) (end, after int) {
	for {
		at := lineEnd(buf[d.seen:])
		if at < 0 {
			d.seen = len(buf)
			return 0, 0
		}
		at += d.seen
		isEmpty := at == d.line
		after = at + 1
		if buf[at] == '\r' {
			switch {
			case after < len(buf) && buf[after] == '\n':
				after++
			case after == len(buf) && isEmpty:
				d.skipsLF = true
			case after == len(buf): // Nobody knows yet whether the line's end is whole.
				d.seen = at
				return 0, 0
			}
		}
		if isEmpty {
			return at, after
		}
		d.line, d.seen = after, after
	}
}

// lineEnd is where the first line of p ends; -1 if it does not.
func lineEnd(p []byte) int {
	lf := bytes.IndexByte(p, '\n')
	if lf >= 0 {
		p = p[:lf]
	}
	if cr := bytes.IndexByte(p, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// parse reads the lines of a whole event.
func parse(block []byte) (e Event) {
	isOwn := false // Data is no part of block, and may grow
	for len(block) > 0 {
		line := block
		if at := lineEnd(block); at >= 0 {
			line, block = block[:at], afterEnd(block, at)
		} else {
			block = nil
		}
		name, value, _ := bytes.Cut(line, colon)
		value = bytes.TrimPrefix(value, space)
		switch string(name) {
		case "data":
			if !e.HasData {
				e.Data, e.HasData = value, true
				continue
			}
			if !isOwn {
				e.Data, isOwn = bytes.Clone(e.Data), true
			}
			e.Data = append(append(e.Data, '\n'), value...)
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				e.ID, e.HasID = value, true
			}
		case "event":
			e.Type = value
		}
	}
	return e
}

var colon, space = []byte(":"), []byte(" ")

// afterEnd is what follows the line end at the given place.
func afterEnd(p []byte, at int) []byte {
	if p[at] == '\r' && at+1 < len(p) && p[at+1] == '\n' {
		at++
	}
	return p[at+1:]
}
