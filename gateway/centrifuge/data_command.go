package centrifuge

import (
	"slices"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"
)

// A dataCommand is a large command in JSON. It knows no methods but those that carry data: others
// are passed over, and so cost no memory. It is decoded in one pass, as what holds a loop that
// long; the standard library takes four times as long.
type dataCommand protocol.Command

// dataFields are what a large command may have.
var dataFields = []string{"id", "publish", "send", "rpc"}

// DecodeJSON is for cfjson.Unmarshal: it decodes the object at b[i], and returns the index behind
// it, or ^j if what is at j is wrong. As in a small command names are exact, and come once.
func (c *dataCommand) DecodeJSON(b []byte, i int, f cfjson.Flags) int {
	seen, isFirst := 0, true
	for i = cfjson.SkipSpace(b, i+1); i < len(b); i = cfjson.SkipSpace(b, i) {
		switch {
		case b[i] == '}':
			return i + 1
		case isFirst:
			isFirst = false
		case b[i] == ',':
			i = cfjson.SkipSpace(b, i+1)
		default:
			return ^i
		}
		var name []byte
		if name, i = cfjson.Key(b, i, f); i < 0 {
			return i
		}
		field := slices.Index(dataFields, string(name))
		if field >= 0 && seen&(1<<field) != 0 {
			return ^i
		}
		switch field {
		case 0:
			i = cfjson.Uint(b, i, &c.Id)
		case 1:
			i = decodeMethod(b, i, f, &c.Publish)
		case 2:
			i = decodeMethod(b, i, f, &c.Send)
		case 3:
			i = decodeMethod(b, i, f, &c.Rpc)
		default:
			i = cfjson.Skip(b, i, f)
		}
		if i < 0 {
			return i
		}
		if field >= 0 {
			seen |= 1 << field
		}
	}
	return ^i
}

// decodeMethod decodes a method, which null says is not there.
func decodeMethod[T any, P interface {
	*T
	cfjson.Decoder
}](b []byte, i int, f cfjson.Flags, method *P,
) int {
	if cfjson.IsNull(b, i) {
		return cfjson.Null(b, i)
	}
	*method = new(T)
	return (*method).DecodeJSON(b, i, f)
}
