package centrifuge

import (
	"encoding/base64"
	"slices"

	"github.com/centrifugal/protocol/cfjson"
)

// A Kind is what a message's payload is.
type Kind uint8

// The kinds.
const (
	Text   Kind = iota // UTF-8
	Binary             // any bytes
	Value              // a value in JSON, of any type, as a client that speaks JSON publishes it
)

// What a value may have to be passed on as one. Python's parser fails on deeper ones, and with
// longer numbers; each SDK parses a whole push at once, so that one such message would end the
// connections of a whole room.
const (
	depthMax  = 100
	numberMax = 300 // characters
)

// AppendData appends what a push, or a reply, has as the data of a message: always one value in
// JSON on one line. A Text that is an object or an array becomes that, compacted, and any other
// text becomes a string; so does what is too deep or has a number that is too long. Binary becomes
// a string in base64, and isBase64 says so. payload must not overlap the spare capacity of dst.
func AppendData(dst []byte, kind Kind, payload []byte) (data []byte, isBase64 bool) {
	if kind == Binary {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, payload)
		return append(dst, '"'), true
	}
	if kind == Value || isComposite(payload) {
		if data, ok := appendCompact(dst, payload); ok {
			return data, false
		}
	}
	return appendString(dst, payload), false
}

// isComposite reports whether a text begins as an object or an array does.
func isComposite(text []byte) bool {
	for _, b := range text {
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return b == '{' || b == '['
		}
	}
	return false
}

// appendCompact appends a value in JSON without the space between its parts, and nothing if it is
// no value, too deep, or has too long a number. It is what holds a loop when a large message is
// published, so it goes over the text once; the standard library's json.Compact takes two to six
// times as long.
func appendCompact(dst, text []byte) (data []byte, ok bool) {
	data = slices.Grow(dst, len(text))
	from, depth, digits := 0, 0, 0 // from where on text is not yet copied
	for i := 0; i < len(text); i++ {
		switch b := text[i]; b {
		case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.', '-', '+', 'e', 'E':
			if digits++; digits > numberMax {
				return dst, false
			}
			continue
		case '"':
			i = stringEnd(text, i+1)
		case '{', '[':
			if depth++; depth > depthMax {
				return dst, false
			}
		case '}', ']':
			depth--
		case ' ', '\t', '\r', '\n':
			data = append(data, text[from:i]...)
			from = i + 1
		}
		digits = 0
	}
	if !cfjson.Valid(text) { // It knows no depth: that is bounded now.
		return dst, false
	}
	return append(data, text[from:]...), true
}

// stringEnd is where the string ends that has begun before i, or where the text does.
func stringEnd(text []byte, i int) int {
	for ; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

// appendString appends a text as a string in JSON.
func appendString[T string | []byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(slices.Grow(dst, len(text)+2), '"')
	from := 0
	for i := range len(text) {
		b := text[i]
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	dst = append(dst, text[from:]...)
	return append(dst, '"')
}
