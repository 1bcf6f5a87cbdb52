package wsproto

import (
	"net/http"
	"strconv"
)

// A Reason says why a request was refused: a metric label, a log word, and the row of one table.
type Reason uint8

// The reasons. Those behind ReasonExtensions are found by the caller, which alone knows rooms,
// policies, load and time.
const (
	ReasonNotHTTP       Reason = iota + 1 // 400: does not begin with a method
	ReasonRequestLine                     // 400: not "method target version"
	ReasonTarget                          // 400: target or its percent-encoding malformed
	ReasonTargetLength                    // 414: target over MaxTargetBytes
	ReasonHTTPVersion                     // 505: not HTTP/1.1 or a later 1.x
	ReasonHeadSize                        // 431: head over the caller's limit
	ReasonHeaderCount                     // 431: more than MaxHeaders headers
	ReasonHeader                          // 400: malformed header line, or Origin twice
	ReasonHost                            // 400: Host missing, doubled or malformed
	ReasonMethod                          // 405: not GET
	ReasonBody                            // 400: a handshake with a body
	ReasonFraming                         // 400: Content-Length or Transfer-Encoding do not say clearly how long the body is
	ReasonLength                          // 411: a body in chunks
	ReasonNoUpgrade                       // 426: no upgrade to websocket asked for
	ReasonConnection                      // 400: Connection lacks the token "upgrade"
	ReasonVersionHeader                   // 400: Sec-WebSocket-Version missing or doubled
	ReasonVersion                         // 426: Sec-WebSocket-Version is not 13
	ReasonKey                             // 400: Sec-WebSocket-Key missing, doubled or not 16 bytes in base64
	ReasonExtensions                      // 400: Sec-WebSocket-Extensions malformed

	ReasonRoomName     // 400: the path names no possible room
	ReasonEcho         // 400: echo, behind the path, is neither 0 nor 1
	ReasonLast         // 400: last, behind the path, is no number
	ReasonHistory      // 503: what the room keeps cannot be had
	ReasonOrigin       // 403: the page is neither of this host nor allowed
	ReasonForeignHost  // 403: the page goes by a host name that is not ours
	ReasonUnauthorized // 401: no token, or none that is good
	ReasonAuthDown     // 503: it cannot be said who asks
	ReasonForbidden    // 403: who asks may not be in this room, whether it exists or not
	ReasonNotFound     // 404: nothing lives at this path
	ReasonTimeout      // 408: head not complete in time
	ReasonUnavailable  // 503: at a limit, or draining
	ReasonMemory       // 503: memory is too short for another connection
	ReasonHeads        // 503: unfinished heads take too much memory, and this one has taken longest
	ReasonAddress      // 503: too many connections from one address
	ReasonConnectRate  // 503: too many new connections a second
	ReasonRooms        // 503: would make one room too many
	ReasonRoomMemory   // 503: memory is too short for another room
	ReasonTransport    // 501: came by a connection that cannot become a WebSocket, TLS for one

	NumReasons
)

// A Refusal is the answer to a request that is refused. Text is for a person; it never repeats
// input, because what reflects can be made to say anything.
type Refusal struct {
	Status int    // HTTP status code
	Reason Reason // why
	Text   string // one line, without line end
	Header string // extra header lines, each with CRLF

	name   string // of the reason, in metrics
	noBody bool   // answers HEAD
}

const (
	allowGet       = "Allow: GET\r\n"
	upgradeVersion = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	retryLater     = "Retry-After: 5\r\n"
)

var refusals = [NumReasons]Refusal{
	ReasonNotHTTP:      {Status: 400, name: "not_http", Text: "This is not an HTTP request."},
	ReasonRequestLine:  {Status: 400, name: "request_line", Text: "The request line is malformed."},
	ReasonTarget:       {Status: 400, name: "target", Text: "The request target is malformed."},
	ReasonTargetLength: {Status: 414, name: "target_length", Text: "The request target is too long."},
	ReasonHTTPVersion:  {Status: 505, name: "http_version", Text: "This server speaks HTTP/1.1."},
	ReasonHeadSize:     {Status: 431, name: "head_size", Text: "The request head is too large."},
	ReasonHeaderCount:  {Status: 431, name: "header_count", Text: "The request has too many headers."},
	ReasonHeader:       {Status: 400, name: "header", Text: "A header is malformed."},
	ReasonHost:         {Status: 400, name: "host", Text: "There must be exactly one valid Host header."},
	ReasonMethod:       {Status: 405, name: "method", Text: "A WebSocket handshake is a GET request.", Header: allowGet},
	ReasonBody:         {Status: 400, name: "body", Text: "A WebSocket handshake has no body."},
	ReasonFraming:      {Status: 400, name: "framing", Text: "It is not clear how long the body of the request is."},
	ReasonLength:       {Status: 411, name: "length", Text: "A body needs a Content-Length here: none is taken in chunks."},
	ReasonNoUpgrade: {
		Status: 426, name: "no_upgrade", Header: upgradeVersion,
		Text: "This is a WebSocket endpoint. Connect with a WebSocket client, for example new WebSocket(\"ws://...\") in a browser.",
	},
	ReasonConnection:    {Status: 400, name: "connection", Text: "The Connection header lacks \"Upgrade\"; a proxy may have removed it."},
	ReasonVersionHeader: {Status: 400, name: "version_header", Text: "There must be exactly one Sec-WebSocket-Version header."},
	ReasonVersion:       {Status: 426, name: "version", Text: "This server speaks WebSocket version 13.", Header: upgradeVersion},
	ReasonKey:           {Status: 400, name: "key", Text: "There must be exactly one Sec-WebSocket-Key header, with 16 bytes in base64."},
	ReasonExtensions:    {Status: 400, name: "extensions", Text: "The Sec-WebSocket-Extensions header is malformed."},
	ReasonRoomName:      {Status: 400, name: "room_name", Text: "This is not a room name."},
	ReasonEcho:          {Status: 400, name: "echo", Text: "echo is 0, to publish without hearing the room, or 1."},
	ReasonLast:          {Status: 400, name: "last", Text: "last is how many of the messages that the room keeps to begin with, as last=10, or all; not with echo=0, which hears none."},
	ReasonHistory:       {Status: 503, name: "history", Text: "What the room keeps cannot be had at the moment.", Header: retryLater},
	ReasonOrigin: {
		Status: 403, name: "origin",
		Text: "The page's origin is not this server's own: it differs from the host that was asked for. " +
			"--allow-origin lets pages of other origins connect. Behind a proxy, let it pass the Host header on, too.",
	},
	ReasonForeignHost: {
		Status: 403, name: "foreign_host",
		Text: "Pages may not come here under this host name. --allow-host makes it one of this server's own; localhost and IP addresses are.",
	},
	ReasonUnauthorized: {
		Status: 401, name: "unauthorized", Header: "WWW-Authenticate: Bearer\r\n",
		Text: "A token is needed for this room.",
	},
	ReasonAuthDown:    {Status: 503, name: "auth_down", Text: "It cannot be said at the moment who you are.", Header: retryLater},
	ReasonForbidden:   {Status: 403, name: "forbidden", Text: "You were not given leave to do this in this room, by a token or by --anonymous, or the room is read-only. To begin with what was said before takes the permission history beside read."},
	ReasonNotFound:    {Status: 404, name: "not_found", Text: "Nothing here."},
	ReasonTimeout:     {Status: 408, name: "timeout", Text: "The request took too long."},
	ReasonUnavailable: {Status: 503, name: "unavailable", Text: "The server takes no more connections now.", Header: retryLater},
	ReasonMemory:      {Status: 503, name: "memory", Text: "The server is short of memory and takes no more connections now.", Header: retryLater},
	ReasonHeads:       {Status: 503, name: "heads", Text: "Too many requests are incomplete at the moment.", Header: retryLater},
	ReasonAddress:     {Status: 503, name: "address", Text: "There are too many connections from your address.", Header: retryLater},
	ReasonConnectRate: {Status: 503, name: "connect_rate", Text: "Too many clients connect at the moment.", Header: retryLater},
	ReasonRooms:       {Status: 503, name: "rooms", Text: "There can be no further room at the moment.", Header: retryLater},
	ReasonRoomMemory:  {Status: 503, name: "room_memory", Text: "The server is short of memory: there can be no further room at the moment.", Header: retryLater},
	ReasonTransport:   {Status: 501, name: "transport", Text: "A WebSocket cannot be opened on a connection of this kind."},
}

func init() {
	for reason := range refusals {
		refusals[reason].Reason = Reason(reason)
	}
}

// Refuse returns the refusal for a reason. It is shared: not to be changed.
func Refuse(reason Reason) *Refusal { return &refusals[reason] }

// ToHEAD returns the refusal as it answers HEAD, without a body (RFC 9110 §9.3.2).
func (r *Refusal) ToHEAD() *Refusal {
	other := *r
	other.noBody = true
	return &other
}

// RetryAfter returns the refusal with another time to stay away for: clients that are refused
// together should not come back together.
func (r *Refusal) RetryAfter(seconds int) *Refusal {
	other := *r
	other.Header = "Retry-After: " + strconv.Itoa(seconds) + "\r\n"
	return &other
}

// RefuseHead returns the refusal for a head that has too many bytes: 414 when it is still in its
// first line, else 431.
func RefuseHead(buf []byte) *Refusal {
	if _, _, ok := cutLine(buf); !ok {
		return Refuse(ReasonTargetLength)
	}
	return Refuse(ReasonHeadSize)
}

// String returns the reason in snake case, as a metric label has it.
func (r Reason) String() string {
	if r == 0 || r >= NumReasons {
		return "reason_" + strconv.Itoa(int(r))
	}
	return refusals[r].name
}

// Error returns the status and the text.
func (r *Refusal) Error() string { return strconv.Itoa(r.Status) + " " + r.Text }

// AppendResponse appends the whole response. The connection is to be closed after it, with linger,
// and nothing that came behind the request is to be read as one (RFC 9112 §9.6).
func (r *Refusal) AppendResponse(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Text)+1), 10)
	// Upgrade is a hop-by-hop field and must be named in Connection (RFC 9110 §7.8).
	if r.Status == http.StatusUpgradeRequired {
		dst = append(dst, "\r\nConnection: close, Upgrade\r\n"...)
	} else {
		dst = append(dst, "\r\nConnection: close\r\n"...)
	}
	dst = append(dst, r.Header...)
	dst = append(dst, "\r\n"...)
	if r.noBody {
		return dst
	}
	dst = append(dst, r.Text...)
	return append(dst, '\n')
}
