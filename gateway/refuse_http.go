package gateway

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"sluice/wsproto"
)

// What only ServeHTTP refuses.
var (
	refusedPath = explain(wsproto.ReasonNotFound,
		"The WebSockets of this server are at /ws and /ws/{room}. A program that wants them elsewhere takes the prefix off the path, as http.StripPrefix does.")
	refusedTLS = explain(wsproto.ReasonTransport,
		"This server cannot take a WebSocket over TLS. Let a proxy in front of it end TLS and pass the request on by plain HTTP/1.1.")
	refusedHTTP2 = explain(wsproto.ReasonHTTPVersion,
		"This server takes a WebSocket over HTTP/1.1 alone, because it needs a connection of its own. This request came by HTTP/2.")
	refusedWriter = explain(wsproto.ReasonTransport,
		"This server cannot take the connection: a handler in front of the gateway wraps the response. It needs a method Hijack or Unwrap.")
	refusedConn = explain(wsproto.ReasonTransport,
		"This server cannot take the connection: its listener wraps it. It has to be a plain TCP or unix connection.")
	refusedUnserved = explain(wsproto.ReasonUnavailable,
		"This server does not take WebSockets yet: its program has to call Serve.")
)

// refuseHTTP answers a request that net/http still has.
func (s *Server) refuseHTTP(w http.ResponseWriter, r *http.Request, refusal *wsproto.Refusal) {
	s.noteRequest(r, refusal)
	header := w.Header()
	for line := range strings.SplitSeq(refusal.Header, "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header.Set(name, value)
		}
	}
	if r.ProtoMajor == 1 { // HTTP/2 has other requests on the connection.
		header.Set("Connection", "close")
	}
	http.Error(w, refusal.Text, refusal.Status)
}

// dismissTime is how long a connection that was taken and is refused has for its answer.
const dismissTime = lingerTime

// dismiss answers on a connection that net/http has given away, and closes it. What has come
// already is read first, or closing would reset the connection, and the reset can overtake the
// answer.
func dismiss(conn net.Conn, refusal *wsproto.Refusal) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dismissTime))
	if _, err := conn.Write(refusal.AppendResponse(nil)); err != nil {
		return
	}
	if lent, ok := conn.(interface{ socket() net.Conn }); ok {
		conn = lent.socket()
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // If not, the answer says that the connection closes.
	}
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
}

// noteRequest counts and logs a refusal of a request that net/http has parsed.
func (s *Server) noteRequest(r *http.Request, refusal *wsproto.Refusal) {
	s.noteRefusal(refusal, addressText(remoteAddr(r)), []byte(r.Method+" "+r.RequestURI+" "+r.Proto),
		comparison(refusal.Reason, []byte(r.Header.Get("Origin")), []byte(r.Host)))
}

// noteRefusal counts and logs a refusal, as a loop does its own. head is what came of the request,
// more what the log tells besides.
func (s *Server) noteRefusal(refusal *wsproto.Refusal, from string, head []byte, more []any) {
	s.refusals.refused[refusal.Reason].Add(1)
	if skipped, ok := s.samples.refused[refusal.Reason].Take(s.workers[0].kernel.Now()); ok {
		s.logRefused(refusal, from, head, skipped, more)
	}
}
