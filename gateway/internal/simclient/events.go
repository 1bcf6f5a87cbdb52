//go:build linux

package simclient

import (
	"bytes"
	"strings"
)

// A Block is what stands before one empty line of a stream of server-sent events: an event, if it
// has data.
type Block struct {
	Type, Data string
	ID         string
	HasID      bool
	HasData    bool
}

// IsEmpty says that nothing was in it but comments, or when to come back.
func (b *Block) IsEmpty() bool { return *b == Block{} }

// An eventParser takes such a stream apart, by the WHATWG's HTML, 9.2.6, and knows nothing of who
// writes it.
type eventParser struct {
	line  []byte // that is not whole
	block Block
	wasCR bool // an LF that comes now belongs to it
}

// next takes bytes up to the end of a block. rest is what comes behind it.
func (e *eventParser) next(p []byte) (b Block, rest []byte, ok bool) {
	for len(p) > 0 {
		end := bytes.IndexAny(p, "\r\n")
		if e.wasCR && end == 0 && p[0] == '\n' {
			p, e.wasCR = p[1:], false
			continue
		}
		if e.wasCR = false; end < 0 {
			e.line = append(e.line, p...)
			return b, nil, false
		}
		line := string(append(e.line, p[:end]...))
		e.line, e.wasCR = e.line[:0], p[end] == '\r'
		p = p[end+1:]
		if line == "" {
			b, e.block = e.block, Block{}
			return b, p, true
		}
		e.take(line)
	}
	return b, nil, false
}

func (e *eventParser) take(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch b := &e.block; name {
	case "event":
		b.Type = value
	case "data":
		if b.HasData {
			value = b.Data + "\n" + value
		}
		b.Data, b.HasData = value, true
	case "id":
		if !strings.Contains(value, "\x00") {
			b.ID, b.HasID = value, true
		}
	}
}
