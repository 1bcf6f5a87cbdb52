package wsproto

import "bytes"

// deflateName is the one extension that is spoken here, permessage-deflate (RFC 7692 §7).
const deflateName = "permessage-deflate"

// deflateAnswer accepts an offer. Without context takeover neither side keeps a window between
// messages: a deflated message means the same to every client of a room, and a connection costs no
// memory. A server may ask for both even of a client that did not offer it (§7.1.1).
const deflateAnswer = deflateName + "; server_no_context_takeover; client_no_context_takeover"

// CheckDeflate judges the extensions that a request offers (RFC 6455 §9.1); call it after
// CheckUpgrade. answer is how AppendSwitchingProtocols accepts the first that is permessage-deflate
// as it is served here, empty if none is. An offer that breaks a rule of RFC 7692 §7.1 or asks for
// more is declined, which is never an error, and the next one is looked at. A header that is not a
// list of extensions at all is refused.
func (r *Request) CheckDeflate() (answer string, refusal *Refusal) {
	ok := r.fields.eachExtension(func(e extension) {
		if answer == "" {
			answer = e.answer()
		}
	})
	if !ok {
		return "", Refuse(ReasonExtensions)
	}
	return answer, nil
}

// answer accepts the offer, or is empty if it cannot be met. A smaller window of ours cannot: what
// is deflated for a room is deflated once, with the whole window. Whoever asks for that by its size
// has to be answered with it (RFC 7692 §7.1.2.1). What the client does with its own window is its
// business: inflating has room for all of it.
func (e *extension) answer() string {
	switch {
	case e.name != deflateName || !e.isValid:
		return ""
	case e.serverBits == 0:
		return deflateAnswer
	case e.serverBits == maxWindowBits:
		return deflateAnswer + "; server_max_window_bits=15"
	}
	return ""
}

// checkDeflateAnswer judges the extensions in a server's answer to an offer of deflateAnswer, if
// there was one.
func (f fields) checkDeflateAnswer(offered bool) (deflate bool, fault string) {
	count, fits := 0, true
	ok := f.eachExtension(func(e extension) {
		count++
		// The server must agree to keep no context, because the Decoder keeps none. It may limit
		// its own window as it likes, but not the client's, which did not offer that (RFC 7692
		// §7.1.2.2).
		fits = fits && e.name == deflateName && e.isValid && e.seen&serverNoContext != 0 && e.seen&clientWindow == 0
	})
	switch {
	case !ok:
		return false, "Sec-WebSocket-Extensions is malformed"
	case count > 1 || count == 1 && !(offered && fits):
		return false, "server uses an extension that was not offered"
	}
	return count == 1, ""
}

// The parameters of permessage-deflate, as bits of a set.
const (
	serverNoContext = 1 << iota
	clientNoContext
	serverWindow
	clientWindow
)

// maxWindowBits is the base-2 logarithm of DEFLATE's largest window (RFC 1951 §2).
const maxWindowBits = 15

// An extension is one element of Sec-WebSocket-Extensions, read as permessage-deflate's parameters
// whatever its name.
type extension struct {
	name       string
	seen       uint8 // parameters
	isValid    bool  // all parameters known, none twice, each with a value that it may have
	serverBits uint8 // of server_max_window_bits; zero without it
}

// eachExtension parses the list in all lines of Sec-WebSocket-Extensions together:
//
//	extension-list  = 1#extension                                    RFC 6455 §9.1
//	extension       = token *( ";" extension-param )
//	extension-param = token [ "=" ( token / quoted-string ) ]
//
// What is quoted has to be a token too, so that commas, semicolons and equal signs never stand for
// themselves. Empty elements are skipped, but no more than emptyMax of them (RFC 9110 §5.6.1.2). ok
// is false if a line is not such a list; the elements before its fault were yielded.
func (f fields) eachExtension(yield func(extension)) (ok bool) {
	empty := 0
	for i := range f {
		if !equalFold(f[i].name, "Sec-WebSocket-Extensions") {
			continue
		}
		for list, more := f[i].value, true; more; {
			var element []byte
			element, list, more = bytes.Cut(list, []byte{','})
			if len(trimSpace(element)) == 0 {
				if empty++; empty > emptyMax {
					return false
				}
				continue
			}
			e, ok := parseExtension(element)
			if !ok {
				return false
			}
			yield(e)
		}
	}
	return true
}

// emptyMax is far more than any list has whose elements somebody has taken out.
const emptyMax = 32

func parseExtension(element []byte) (e extension, ok bool) {
	name, params, more := bytes.Cut(element, []byte{';'})
	if name = trimSpace(name); !isToken(name) {
		return e, false
	}
	if string(name) == deflateName { // Other names need no copy.
		e.name = deflateName
	}
	e.isValid = true
	for more {
		var param []byte
		param, params, more = bytes.Cut(params, []byte{';'})
		name, value, hasValue := bytes.Cut(param, []byte{'='})
		if name = trimSpace(name); !isToken(name) {
			return e, false
		}
		if hasValue {
			if value, ok = unquote(trimSpace(value)); !ok {
				return e, false
			}
		}
		e.add(name, value, hasValue)
	}
	return e, true
}

// add takes one parameter (RFC 7692 §7.1.1, §7.1.2). value is a token if there is one.
func (e *extension) add(name, value []byte, hasValue bool) {
	bit := parameterBit(name)
	bits := windowBits(value)
	switch bit {
	case serverNoContext, clientNoContext:
		e.isValid = e.isValid && !hasValue
	case serverWindow:
		e.isValid = e.isValid && bits != 0
		e.serverBits = bits
	case clientWindow:
		e.isValid = e.isValid && (bits != 0 || !hasValue)
	}
	if bit == 0 || e.seen&bit != 0 {
		e.isValid = false
	}
	e.seen |= bit
}

// parameterBit returns the bit of the parameter with this name, 0 for an unknown one.
func parameterBit(name []byte) uint8 {
	switch string(name) {
	case "server_no_context_takeover":
		return serverNoContext
	case "client_no_context_takeover":
		return clientNoContext
	case "server_max_window_bits":
		return serverWindow
	case "client_max_window_bits":
		return clientWindow
	}
	return 0
}

// windowBits returns the number that a window parameter's value is, 8 to 15 without leading zeros,
// and 0 for all else.
func windowBits(value []byte) uint8 {
	switch {
	case len(value) == 1 && (value[0] == '8' || value[0] == '9'):
		return value[0] - '0'
	case len(value) == 2 && value[0] == '1' && '0' <= value[1] && value[1] <= '5':
		return 10 + value[1] - '0'
	}
	return 0
}

// unquote returns the token that a parameter's value is, with or without quotes. ok is false if it
// is none.
func unquote(value []byte) (token []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value, isToken(value)
	}
	token = value[1 : len(value)-1]
	if bytes.IndexByte(token, '\\') >= 0 {
		token, ok = unescape(token)
		return token, ok && isToken(token)
	}
	return token, isToken(token)
}

// unescape returns a copy of quoted without the backslashes of its quoted pairs (RFC 9110 §5.6.4).
// ok is false if one of them has nothing behind it.
func unescape(quoted []byte) (plain []byte, ok bool) {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] == '\\' {
			if i++; i == len(quoted) {
				return nil, false
			}
		}
		plain = append(plain, quoted[i])
	}
	return plain, true
}
