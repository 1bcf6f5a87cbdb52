package wsproto

import (
	"bytes"
	"unicode/utf8"
)

// Bounds of a request head, beside that of its bytes, which is the caller's.
const (
	MaxHeaders     = 128
	MaxTargetBytes = 4096
	maxMethodBytes = 32 // registered ones have at most 17
)

// HeadEnd returns the length of the request head that buf begins with, blank line included, or 0
// when more is needed. from is how many bytes of buf an earlier call has seen: a head that comes
// byte by byte costs linear time. A blank line made with bare LFs ends a head too, so that Parse
// can refuse it at once instead of a timeout later. The caller stops reading at a limit of its own
// and answers RefuseHead.
func HeadEnd(buf []byte, from int) int {
	// The line end before the blank line may be among the bytes already seen: at most "\n\r" of it.
	for i := max(0, from-2); ; {
		lf := bytes.IndexByte(buf[i:], '\n')
		if lf < 0 {
			return 0
		}
		i += lf + 1
		switch rest := buf[i:]; {
		case len(rest) >= 1 && rest[0] == '\n':
			return i + 1
		case len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		}
	}
}

// A Request is a parsed request head. All its bytes alias the head, but for a Path that was
// percent-encoded. It is meant to be reused: parsing a head replaces the one before and allocates
// nothing once it has grown.
type Request struct {
	Method []byte // a token, in the client's case
	Target []byte // as sent: "/ws/a%20b?x=1", "http://host/ws", "*"
	// Path is the target's path, percent-decoded exactly once: valid UTF-8 without control
	// characters. Dot segments and double slashes are left alone, so that no two readers of the
	// path disagree about what they become. Empty for CONNECT's host:port.
	Path  []byte
	Query []byte // behind the '?', still encoded; nil when there is none
	Host  []byte // of an absolute target, else of the Host header (RFC 9112 §3.2.2); known after Parse
	Minor int    // of the version HTTP/1.Minor
	Key   []byte // Sec-WebSocket-Key, 24 bytes; known after CheckUpgrade

	fields  fields
	decoded []byte // backs Path when it had to be decoded
}

// CheckStart judges the beginning of a head that is not whole: it returns the refusal that the head
// is sure to end in, and nil while it may still become a request. So what is not HTTP at all, TLS
// or SSH or zeros, need not be waited for. isLine says that the request line is whole and good, and
// that there is nothing more to find here. from is how many bytes an earlier call has seen.
func (r *Request) CheckStart(buf []byte, from int) (isLine bool, refusal *Refusal) {
	if string(buf) == "\r" {
		return false, nil // Half of the empty line that may come first.
	}
	line := bytes.TrimPrefix(buf, []byte("\r\n"))
	method, _, isWhole := bytes.Cut(line[:min(len(line), maxMethodBytes+1)], []byte{' '})
	if len(line) > 0 && !isMethod(method) || !isWhole && len(method) > maxMethodBytes {
		return false, Refuse(ReasonNotHTTP)
	}
	if bytes.IndexByte(buf[max(from, len(buf)-len(line)):], '\n') < 0 {
		return false, nil
	}
	_, refusal = r.parseLine(buf)
	return refusal == nil, refusal
}

// Parse parses a whole head, as long as HeadEnd said. It refuses with 400, 414, 431 or 505.
func (r *Request) Parse(head []byte) *Refusal {
	block, refusal := r.parseLine(head)
	if refusal != nil {
		return refusal
	}
	if !bytes.HasSuffix(block, []byte("\r\n")) {
		return Refuse(ReasonHeader)
	}
	if refusal := r.fields.parse(block[:len(block)-2]); refusal != nil {
		return refusal
	}
	return r.checkHost()
}

// Header returns the value of the first header with this name, in any case; nil when there is none.
// The value aliases the head. Names are compared when asked for: a header nobody asks for costs
// nothing.
func (r *Request) Header(name string) []byte {
	value, _ := r.fields.get(name)
	return value
}

// Each yields the values of all headers with this name, in any case; it makes an iter.Seq.
func (r *Request) Each(name string) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := range r.fields {
			if equalFold(r.fields[i].name, name) && !yield(r.fields[i].value) {
				return
			}
		}
	}
}

// ElementsBackwards yields the elements of the lists in all headers with this name together, the
// last one first, without the space around them; empty ones are left out. A comma in quotes is no
// end of one. They alias the head.
func (r *Request) ElementsBackwards(name string) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := len(r.fields) - 1; i >= 0; i-- {
			if !equalFold(r.fields[i].name, name) {
				continue
			}
			for list := r.fields[i].value; len(list) > 0; {
				comma := LastUnquoted(list, ',')
				element := trimSpace(list[comma+1:])
				list = list[:max(comma, 0)]
				if len(element) > 0 && !yield(element) {
					return
				}
			}
		}
	}
}

// LastUnquoted is where the last sep stands in p that is not in a quoted string (RFC 9110 §5.6.4);
// -1 for nowhere. It looks from the right, where the next proxy has written: a quote that an
// earlier one has left open takes nothing away from that.
func LastUnquoted(p []byte, sep byte) int {
	for i := len(p) - 1; i >= 0; i-- {
		switch p[i] {
		case sep:
			return i
		case '"':
			for i--; i >= 0 && (p[i] != '"' || isEscaped(p, i)); i-- {
			}
		}
	}
	return -1
}

// isEscaped reports whether an odd number of backslashes stands before p[i].
func isEscaped(p []byte, i int) bool {
	n := 0
	for ; i > n && p[i-1-n] == '\\'; n++ {
	}
	return n%2 == 1
}

// parseLine parses the request line and returns what is behind it.
func (r *Request) parseLine(head []byte) (rest []byte, refusal *Refusal) {
	*r = Request{fields: r.fields[:0], decoded: r.decoded[:0]}
	// One empty line may precede it (RFC 9112 §2.2).
	line, rest, ok := cutLine(bytes.TrimPrefix(head, []byte("\r\n")))
	if !ok {
		return nil, Refuse(ReasonRequestLine)
	}
	method, line, ok := bytes.Cut(line, []byte{' '})
	if !ok || len(method) > maxMethodBytes || !isMethod(method) {
		return nil, Refuse(ReasonNotHTTP)
	}
	target, version, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return nil, Refuse(ReasonRequestLine)
	}
	if refusal := r.parseVersion(version); refusal != nil {
		return nil, refusal
	}
	r.Method = method
	return rest, r.parseTarget(target)
}

// parseVersion takes "HTTP/" digit "." digit, in this case (RFC 9112 §2.3).
func (r *Request) parseVersion(v []byte) *Refusal {
	if len(v) != 8 || string(v[:5]) != "HTTP/" || v[6] != '.' || !isDigit(v[5]) || !isDigit(v[7]) {
		return Refuse(ReasonRequestLine)
	}
	if v[5] != '1' {
		return Refuse(ReasonHTTPVersion)
	}
	r.Minor = int(v[7] - '0')
	return nil
}

// parseTarget takes the four forms of RFC 9112 §3.2.
func (r *Request) parseTarget(target []byte) *Refusal {
	if len(target) > MaxTargetBytes {
		return Refuse(ReasonTargetLength)
	}
	if len(target) == 0 || !allIn(target, targetByte) {
		return Refuse(ReasonTarget)
	}
	r.Target = target
	switch {
	case target[0] == '/':
		return r.parsePath(target)
	case string(r.Method) == "CONNECT":
		return nil
	case string(target) == "*" && string(r.Method) == "OPTIONS":
		r.Path = target
		return nil
	}
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") && !equalFold(scheme, "ws") && !equalFold(scheme, "wss") {
		return Refuse(ReasonTarget)
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	r.Host = rest[:end]
	if end == 0 || !allIn(r.Host, hostByte) {
		return Refuse(ReasonTarget)
	}
	return r.parsePath(rest[end:])
}

// parsePath splits the query off and decodes the path, once.
func (r *Request) parsePath(target []byte) *Refusal {
	path, query, _ := bytes.Cut(target, []byte{'?'})
	if len(path) == 0 {
		path = []byte{'/'} // http://host is http://host/ (RFC 9110 §4.2.3)
	}
	r.Path, r.Query = path, query
	if bytes.IndexByte(path, '%') < 0 {
		return nil
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return Refuse(ReasonTarget)
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
		}
		if c < ' ' || c == 0x7F {
			return Refuse(ReasonTarget)
		}
		r.decoded = append(r.decoded, c)
	}
	if !utf8.Valid(r.decoded) {
		return Refuse(ReasonTarget)
	}
	r.Path = r.decoded
	return nil
}

// BodyLength is how many bytes of body follow a parsed head. It is meant for requests that are no
// handshakes. What two readers could take for different lengths is refused with 400 (RFC 9112 §6.1,
// §6.3): Content-Length twice or as anything but digits, any Transfer-Encoding beside it, before
// HTTP/1.1, or other than "chunked". A body in chunks is clear, but is not taken: 411.
func (r *Request) BodyLength() (n int64, refusal *Refusal) {
	length, lengths := r.fields.get("Content-Length")
	coding, codings := r.fields.get("Transfer-Encoding")
	switch {
	case codings == 1 && lengths == 0 && r.Minor > 0 && equalFold(coding, "chunked"):
		return 0, Refuse(ReasonLength)
	case codings > 0 || lengths > 1:
		return 0, Refuse(ReasonFraming)
	case lengths == 0:
		return 0, nil
	}
	if len(length) == 0 || len(length) > maxLengthDigits {
		return 0, Refuse(ReasonFraming)
	}
	for _, c := range length {
		if !isDigit(c) {
			return 0, Refuse(ReasonFraming)
		}
		n = 10*n + int64(c-'0')
	}
	return n, nil
}

// maxLengthDigits keeps a length within an int64.
const maxLengthDigits = 18

// KeepsAlive reports whether the client of a parsed request means to send another one on the same
// connection. HTTP/1.0 would have to ask for it (RFC 9112 §9.3), which is not heard.
func (r *Request) KeepsAlive() bool { return r.Minor > 0 && !r.fields.hasToken("Connection", "close") }

// checkHost demands one valid Host header (RFC 9112 §3.2), which HTTP/1.0 did not know.
func (r *Request) checkHost() *Refusal {
	host, count := r.fields.get("Host")
	if count == 0 && r.Minor == 0 {
		return nil
	}
	if count != 1 || len(host) == 0 || !allIn(host, hostByte) {
		return Refuse(ReasonHost)
	}
	if r.Host == nil {
		r.Host = host
	}
	return nil
}

// isMethod reports whether b is a method, or the beginning of one. A method is a token; all that
// there are begin with a letter, which tells them from TLS, from Redis' "*1" and from a folded
// line.
func isMethod(b []byte) bool {
	return len(b) > 0 && 'a' <= lower(b[0]) && lower(b[0]) <= 'z' && allIn(b, tokenByte)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}
