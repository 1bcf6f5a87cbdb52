// Package sse writes server-sent events (the WHATWG's HTML, "Server-sent events"): bytes, and
// nothing of sockets or rooms.
//
// An event is lines of "field: value" and an empty line behind them. A line ends with CR, LF or
// CRLF, whichever comes, so a payload is cut at all three and each of its lines becomes a data line
// of its own: nothing in a payload can begin another field or another event. Clients join the lines
// with LF. So text comes out as it went in, but that a CR or a CRLF has become an LF; NUL is an
// ordinary character of a data line. Bytes that are not text are an event of the type "binary", in
// base64.
package sse
