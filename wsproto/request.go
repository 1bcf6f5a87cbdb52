package wsproto

import (
	"bytes"
	"unicode/utf8"
)

// Bounds of a request head.
const (
	MaxHeadBytes   = 8192 // request line, headers and blank line
	MaxHeaders     = 64
	MaxTargetBytes = 4096
)

// HeadEnd returns the length of the request head that buf begins with, blank line included, or 0
// when more is needed. from is how many bytes of buf an earlier call has seen: a head that comes
// byte by byte costs linear time. A blank line made with bare LFs ends a head too, so that Parse
// can refuse it at once instead of a timeout later. The caller stops reading at MaxHeadBytes and
// answers RefuseHead.
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

// ParseLine parses the request line alone, enough to route by Path. Method and Minor are not judged
// but for their form.
func (r *Request) ParseLine(head []byte) *Refusal {
	_, refusal := r.parseLine(head)
	return refusal
}

// Parse parses a whole head, as long as HeadEnd said. It refuses with 400, 414, 431 or 505.
func (r *Request) Parse(head []byte) *Refusal {
	if len(head) > MaxHeadBytes {
		return RefuseHead(head)
	}
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

// parseLine parses the request line and returns what is behind it.
func (r *Request) parseLine(head []byte) (rest []byte, refusal *Refusal) {
	*r = Request{fields: r.fields[:0], decoded: r.decoded[:0]}
	// One empty line may precede it (RFC 9112 §2.2).
	line, rest, ok := cutLine(bytes.TrimPrefix(head, []byte("\r\n")))
	if !ok {
		return nil, Refuse(ReasonRequestLine)
	}
	method, line, _ := bytes.Cut(line, []byte{' '})
	target, version, ok := bytes.Cut(line, []byte{' '})
	if !ok || !isToken(method) {
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

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}
