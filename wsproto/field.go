package wsproto

import "bytes"

// A field is one header line; both parts alias the head.
type field struct{ name, value []byte }

// fields are the header lines of a head, in order.
type fields []field

// parse takes the header lines of block, which holds everything between the first line and the
// blank one. It is as strict as RFC 9112 §5 lets a server be: what two parsers could read in two
// ways is refused, not guessed at.
func (f *fields) parse(block []byte) *Refusal {
	for len(block) > 0 {
		line, rest, ok := cutLine(block)
		if !ok {
			return Refuse(ReasonHeader)
		}
		if len(*f) == MaxHeaders {
			return Refuse(ReasonHeaderCount)
		}
		// A folded line (§5.2) begins with a space and a space before the colon (§5.1) is part of
		// the name here: neither is a token, nor is a line without a name.
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || !isToken(name) || !isFieldValue(value) {
			return Refuse(ReasonHeader)
		}
		*f = append(*f, field{name, trimSpace(value)})
		block = rest
	}
	return nil
}

// get returns the value of the first line with this name and how many lines have it.
func (f fields) get(name string) (value []byte, count int) {
	for i := range f {
		if equalFold(f[i].name, name) {
			if count == 0 {
				value = f[i].value
			}
			count++
		}
	}
	return value, count
}

// hasToken reports whether the list in all lines with this name together has the token, in any case
// (RFC 9110 §5.6.1).
func (f fields) hasToken(name, token string) bool {
	for i := range f {
		if !equalFold(f[i].name, name) {
			continue
		}
		for list := f[i].value; len(list) > 0; {
			var element []byte
			if element, list = cutElement(list); equalFold(element, token) {
				return true
			}
		}
	}
	return false
}

// cutElement returns the first element of a comma-separated list without the space around it, and
// the rest of the list.
func cutElement(list []byte) (element, rest []byte) {
	element, rest, _ = bytes.Cut(list, []byte{','})
	return trimSpace(element), rest
}

// trimSpace returns b without the spaces and tabs around it. Unlike bytes.Trim it never makes an
// empty value nil.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cutLine returns the first line of b without its CRLF. ok is false for a line that has none or has
// a bare LF.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, false
	}
	return b[:i-1], b[i+1:], true
}

// equalFold reports whether b is s but for the case of ASCII letters. s has no byte that folding
// would mistake for another: it is a name of ours, or the lower-case host of an origin.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if b[i] != s[i] && lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// isToken reports whether b is a token (RFC 9110 §5.6.2).
func isToken(b []byte) bool { return len(b) > 0 && allIn(b, tokenByte) }

// isFieldValue reports whether b is free of control bytes other than the tab (RFC 9110 §5.5).
func isFieldValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}

// Classes a byte can be in; charClass holds those of each.
const (
	tokenByte  = 1 << iota // RFC 9110 §5.6.2
	hostByte               // RFC 3986 §3.2.2, with the port's colon
	targetByte             // visible ASCII but '#': a target has no fragment (RFC 9112 §3.2)
)

var charClass = func() (class [256]byte) {
	for c := byte('!'); c <= '~'; c++ {
		if c != '#' {
			class[c] |= targetByte
		}
		if '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z' {
			class[c] |= tokenByte | hostByte
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		class[c] |= tokenByte
	}
	for _, c := range []byte("-._~%!$&'()*+,;=:[]") {
		class[c] |= hostByte
	}
	return class
}()

func allIn(b []byte, class byte) bool {
	for _, c := range b {
		if charClass[c]&class == 0 {
			return false
		}
	}
	return true
}
