package eventstream

import (
	"errors"
	"math"
)

// Chunks take a body out of the chunks that HTTP/1.1 may send it in (RFC 9112 §7.1). The zero value
// is at the beginning of the first.
type Chunks struct {
	left  int64 // of the chunk's data
	state chunkState
	digit bool // the size has one
}

type chunkState uint8

const (
	inSize chunkState = iota
	inExtension
	inData
	behindData
	ended
)

var (
	errChunk = errors.New("a chunk of the body is malformed")
	errEnded = errors.New("the server ended the stream")
)

// Next takes the next stretch of the body out of p; n is how many bytes it has used. Where the
// stretch is empty all of p was used. The body's end is an error.
func (c *Chunks) Next(p []byte) (body []byte, n int, err error) {
	for n < len(p) {
		if c.state == inData {
			size := int(min(c.left, int64(len(p)-n)))
			if c.left -= int64(size); c.left == 0 {
				c.state = behindData
			}
			return p[n : n+size], n + size, nil
		}
		if err := c.step(p[n]); err != nil {
			return nil, n, err
		}
		n++
	}
	return nil, n, nil
}

// step takes a byte that is not data.
func (c *Chunks) step(b byte) error {
	switch {
	case c.state == ended:
		return errEnded
	case b == '\n':
		return c.lineEnded()
	case b == '\r' || c.state == inExtension:
		return nil
	case c.state == inSize && b == ';', c.state == inSize && (b == ' ' || b == '\t') && c.digit:
		c.state = inExtension
		return nil
	}
	v, isDigit := hexValue(b)
	if c.state != inSize || !isDigit || c.left > math.MaxInt32 {
		return errChunk
	}
	c.left, c.digit = c.left<<4|v, true
	return nil
}

// lineEnded goes on behind the line of a chunk's size, or behind its data.
func (c *Chunks) lineEnded() error {
	switch {
	case c.state == behindData:
		c.state, c.digit = inSize, false
	case !c.digit:
		return errChunk
	case c.left == 0: // What may follow, trailers, says nothing to us.
		c.state = ended
		return errEnded
	default:
		c.state = inData
	}
	return nil
}

func hexValue(b byte) (v int64, isDigit bool) {
	switch {
	case b >= '0' && b <= '9':
		return int64(b - '0'), true
	case b >= 'a' && b <= 'f':
		return int64(b-'a') + 10, true
	case b >= 'A' && b <= 'F':
		return int64(b-'A') + 10, true
	}
	return 0, false
}
