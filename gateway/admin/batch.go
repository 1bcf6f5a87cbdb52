package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"sluice/gateway"
)

const (
	// batchMax and linesMax bound one batch, in bytes, unless one message may be larger, and in lines.
	batchMax = 16 << 20
	linesMax = 10_000
	lineSize = 16 << 10 // bytes of a line that are not copied
)

// publishBatch answers a body of NDJSON: each line is one text message, as it stands, and has an
// answer in its place. A line that is at fault itself is left out, and the next ones are published.
// Where the room, a rate or the body is at fault, nothing behind it is published, so that the order
// holds: the answer says so with its status, and has those of the lines before. Under an
// Idempotency-Key the whole batch may be sent again: what was published is not published again.
func (h *Handler) publishBatch(w http.ResponseWriter, r *http.Request, room, repeat string) {
	key, max := usedKey(r), h.gateway.MaxMessage()
	whole := http.MaxBytesReader(w, r.Body, batchMax+max)
	lines := lineReader{from: bufio.NewReaderSize(whole, lineSize), max: int(max)}
	b := batch{results: []byte(`"results":[`)}
	for b.stopped == nil {
		line, err := lines.next()
		if err == io.EOF {
			break
		}
		switch {
		case err == errLongLine:
			b.refuse(faultOf(gateway.ErrTooLarge))
		case err != nil:
			b.stopped = faultOfBody(w, err)
		case len(line) == 0: // Blank lines are nothing.
		case b.lines == linesMax:
			b.stopped = &faultLines
		case !json.Valid(line):
			b.refuse(&faultItem)
		default:
			under := repeat
			if under != "" {
				under += " " + strconv.Itoa(b.lines) // No key of a client's has a blank.
			}
			b.take(h.publishOne(key, room, under, gateway.Message{Data: line}))
		}
	}
	b.answer(w)
}

// A batch is what came of the lines so far.
type batch struct {
	results   []byte // JSON, open at its end
	lines     int
	published int
	stopped   *fault // why nothing more is published
}

func (b *batch) separate() {
	if b.lines > 0 {
		b.results = append(b.results, ',')
	}
	b.lines++
}

// refuse notes what is wrong with one line.
func (b *batch) refuse(f *fault) {
	b.separate()
	p, _ := json.Marshal(f)
	b.results = append(append(append(b.results, `{"error":`...), p...), '}')
}

// take notes what came of publishing one line. What will befall the others as well ends it.
func (b *batch) take(p published) {
	switch f := p.fault; {
	case f == nil:
		b.separate()
		b.published++
		b.results = p.append(b.results)
	case f.isPassing() || f.Code == "room_name" || f.status >= 500:
		b.stopped = f
	default:
		b.refuse(f)
	}
}

func (b *batch) answer(w http.ResponseWriter) {
	status, head := http.StatusOK, []byte("{")
	if f := b.stopped; f != nil {
		status = f.status
		f.setHeader(w.Header())
		p, _ := json.Marshal(f)
		head = append(append(append(head, `"error":`...), p...), ',')
		w.Header().Set("Connection", "close") // What is left of the body is not read.
	}
	head = append(head, `"published":`...)
	head = append(strconv.AppendInt(head, int64(b.published), 10), ',')
	writeBytes(w, status, append(append(head, b.results...), "]}\n"...))
}

var errLongLine = errors.New("admin: the line is too long")

// A lineReader reads lines of at most max bytes, without their ends and the blanks around them.
type lineReader struct {
	from *bufio.Reader
	max  int
	long []byte // a line that is larger than the reader's buffer
}

// next returns a line that is good until the next call; errLongLine for one that is too long, behind
// which it goes on.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.from.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = l.rest(line)
	}
	switch {
	case err == io.EOF && len(line) > 0: // The last one, which has no end.
	case err != nil:
		return nil, err
	}
	if line = bytes.TrimSpace(line); len(line) > l.max {
		return nil, errLongLine
	}
	return line, nil
}

// rest reads on a line that has begun. Of one that is too long it keeps a little more than max.
func (l *lineReader) rest(line []byte) (all []byte, err error) {
	l.long = append(l.long[:0], line...)
	isCut := false
	for err = bufio.ErrBufferFull; err == bufio.ErrBufferFull; {
		line, err = l.from.ReadSlice('\n')
		if len(l.long) <= l.max+lineSize {
			l.long = append(l.long, line...)
		} else {
			isCut = true
		}
	}
	if isCut && (err == nil || err == io.EOF) {
		err = errLongLine // Whatever it would look like without its end.
	}
	return l.long, err
}
