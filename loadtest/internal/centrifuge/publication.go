package centrifuge

import "bytes"

// parsePublication reads a push of a publication. What it does not understand is none to it.
func parsePublication(object []byte) (room []byte, p Publication, isPublication bool) {
	w := walker{rest: object}
	hasData := false
	for push := w.open(); push != nil; push = w.key() {
		if string(push) != "push" {
			return nil, p, false
		}
		for key := w.open(); key != nil; key = w.key() {
			switch string(key) {
			case "channel":
				room = w.text()
			case "pub":
				for field := w.open(); field != nil; field = w.key() {
					switch string(field) {
					case "data":
						p.Data, hasData = w.value(), true
					case "offset":
						p.Offset = w.number()
					default:
						w.value()
					}
				}
			default:
				return nil, p, false
			}
		}
	}
	return room, p, !w.isLost && hasData && room != nil && len(w.rest) == 0
}

// A walker goes through an object. When it has met something that it does not understand it is
// lost, and finds nothing more.
type walker struct {
	rest   []byte
	isLost bool
}

// lost notes it.
func (w *walker) lost() []byte {
	w.isLost, w.rest = true, nil
	return nil
}

// next takes a byte behind white space.
func (w *walker) next() byte {
	for i, b := range w.rest {
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			w.rest = w.rest[i+1:]
			return b
		}
	}
	w.lost()
	return 0
}

// open goes into an object and returns its first key; nil if there is none.
func (w *walker) open() []byte {
	if w.next() != '{' {
		return w.lost()
	}
	return w.keyOrEnd(w.next())
}

// key is the next key of an object, behind a value; nil at the object's end.
func (w *walker) key() []byte {
	switch w.next() {
	case ',':
		return w.keyOrEnd(w.next())
	case '}':
		return nil
	}
	return w.lost()
}

func (w *walker) keyOrEnd(b byte) []byte {
	if b == '}' {
		return nil
	}
	if b != '"' {
		return w.lost()
	}
	key := w.restOfText()
	if w.next() != ':' {
		return w.lost()
	}
	return key
}

// text is a string without escapes.
func (w *walker) text() []byte {
	if w.next() != '"' {
		return w.lost()
	}
	return w.restOfText()
}

func (w *walker) restOfText() []byte {
	end := bytes.IndexByte(w.rest, '"')
	if end < 0 || bytes.IndexByte(w.rest[:end], '\\') >= 0 {
		return w.lost()
	}
	text := w.rest[:end]
	w.rest = w.rest[end+1:]
	return text
}

// number is one that counts.
func (w *walker) number() (n uint64) {
	for b := w.next(); b >= '0' && b <= '9'; {
		if n > 1<<60 {
			w.lost()
		}
		n = n*10 + uint64(b-'0')
		if len(w.rest) == 0 || w.rest[0] < '0' || w.rest[0] > '9' {
			return n
		}
		b, w.rest = w.rest[0], w.rest[1:]
	}
	w.lost()
	return 0
}

// value is one of any kind, as it came.
func (w *walker) value() []byte {
	for len(w.rest) > 0 && w.rest[0] <= ' ' {
		w.rest = w.rest[1:]
	}
	from := w.rest
	if len(from) > 0 && from[0] == '"' { // Mostly.
		w.rest = from[1:]
		w.restOfText()
		return from[:len(from)-len(w.rest)]
	}
	for depth := 0; ; {
		i := mark(w.rest)
		if i < 0 {
			return w.lost()
		}
		b := w.rest[i]
		if depth == 0 && (b == '}' || b == ']' || b == ',') { // A number or a word ends before it.
			w.rest = w.rest[i:]
			break
		}
		switch w.rest = w.rest[i+1:]; b {
		case '"':
			w.restOfText()
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if w.isLost {
			return nil
		}
		if depth == 0 && b != ',' {
			break
		}
	}
	return bytes.TrimRight(from[:len(from)-len(w.rest)], " \t\r\n")
}

// mark is where the next byte stands that means something in an object or array.
func mark(p []byte) int {
	for i, b := range p {
		switch b {
		case '"', '{', '}', '[', ']', ',':
			return i
		}
	}
	return -1
}
