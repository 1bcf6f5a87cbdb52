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
	"sluice/hub"
)

const (
	lineSize = 16 << 10 // bytes of a line that are not copied
	aheadMax = 1024     // lines that wait for the cluster's acknowledgement at a time
)

// publishBatch answers a body of NDJSON: each line is one text message, as it stands, and has an
// answer in its place. A line that is at fault itself is left out, and the next ones are published.
// Where the room, a rate or the body is at fault, nothing behind it is published, so that the order
// holds: the answer says so with its status, and has those of the lines before. Only where a
// cluster has not acknowledged a line may those behind it be published too, in their order, and not
// told of. Under an Idempotency-Key the whole batch may be sent again: what was published is not
// published again.
func (h *Handler) publishBatch(w http.ResponseWriter, r *http.Request, room, repeat string) {
	largest := h.gateway.MaxMessage()
	whole := http.MaxBytesReader(w, r.Body, max(batchMax, largest+1)) // A line has an end.
	lines := lineReader{from: bufio.NewReaderSize(whole, lineSize), max: int(largest)}
	b := batch{h: h, key: usedKey(r), room: room, repeat: repeat, results: []byte(`"results":[`)}
	for b.stopped == nil {
		line, err := lines.next()
		if err == io.EOF {
			break
		}
		switch {
		case err == errLongLine:
			b.add(published{fault: faultOf(gateway.ErrTooLarge)})
		case errors.As(err, new(*http.MaxBytesError)):
			b.stop(&faultBatchSize)
		case err != nil:
			b.stop(faultOfBody(w, err))
		case len(line) == 0: // Blank lines are nothing.
		case b.begun == linesMax:
			b.stop(&faultBatchSize)
		case !json.Valid(line):
			b.add(published{fault: &faultItem})
		default:
			b.publish(gateway.Message{Data: line})
		}
	}
	b.settle(0)
	b.answer(w)
}

// A batch is what came of the lines so far.
type batch struct {
	h            *Handler
	key          *Key
	room, repeat string

	begun     int     // lines
	ahead     []ahead // the last of them, which wait for the cluster's acknowledgement
	results   []byte  // JSON of the others, open at its end
	lines     int     // in it
	published int
	stopped   *fault // why nothing more is published
}

// An ahead is a line that has no answer yet, or waits for one before it.
type ahead struct {
	published
	wait func() (hub.Published, error) // nil: it has one
}

// publish publishes a line. Under a key each waits for the one before it, because a message with a
// key goes to the cluster alone; others go ahead, as many as a room takes. Of one that is full who
// waits for nothing is told.
func (b *batch) publish(m gateway.Message) {
	if b.repeat != "" {
		b.add(b.h.publishOne(b.key, b.room, b.repeat+" "+strconv.Itoa(b.begun), m)) // No key of a client's has a blank.
		return
	}
	if lacks := b.h.lacks(b.key, b.h.clock.now()); lacks != nil {
		b.stop(lacks)
		return
	}
	p, wait, err := b.h.gateway.PublishAhead(b.room, m)
	if errors.Is(err, gateway.ErrRoomFull) && len(b.ahead) > 0 {
		if b.settle(0); b.stopped != nil {
			return
		}
		p, wait, err = b.h.gateway.PublishAhead(b.room, m)
	}
	b.put(ahead{published{p, faultOf(err)}, wait})
}

// add adds a line that has its answer.
func (b *batch) add(p published) { b.put(ahead{published: p}) }

func (b *batch) put(a ahead) {
	if b.begun++; a.wait == nil && len(b.ahead) == 0 {
		b.take(a.published)
		return
	}
	b.ahead = append(b.ahead, a)
	b.settle(aheadMax)
}

// settle waits for the lines that have no answer yet, but for the last so many. Behind one that
// ends the batch it waits for none: in an outage each would take its whole time.
func (b *batch) settle(left int) {
	for len(b.ahead) > left && b.stopped == nil {
		a := b.ahead[0]
		if b.ahead = b.ahead[1:]; a.wait != nil {
			p, err := a.wait()
			a.published = published{p, faultOf(err)}
		}
		b.take(a.published)
	}
}

// stop ends the batch behind the lines that have begun.
func (b *batch) stop(f *fault) {
	if b.settle(0); b.stopped == nil {
		b.stopped = f
	}
}

func (b *batch) separate() {
	if b.lines > 0 {
		b.results = append(b.results, ',')
	}
	b.lines++
}

// take notes what came of one line. What will befall the others as well ends the batch.
func (b *batch) take(p published) {
	switch f := p.fault; {
	case f == nil:
		b.separate()
		b.published++
		b.results = p.append(b.results)
	case f.isPassing() || f.Code == "room_name" || f.status >= 500:
		b.stopped = f
	default:
		b.separate()
		p, _ := json.Marshal(f)
		b.results = append(append(append(b.results, `{"error":`...), p...), '}')
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

// next returns a line that is good until the next call; errLongLine for one that is too long,
// behind which it goes on.
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
