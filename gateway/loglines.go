package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"

	"sluice/hub"
	"sluice/wsproto"
)

// logRefusal says that a request was refused. head is what came of it. c is
// nil for a connection that was not admitted.
func (w *worker) logRefusal(fd int, c *conn, r *wsproto.Refusal, head []byte) {
	skipped, ok := w.server.samples.refused[r.Reason].Take(w.kernel.Now())
	if !ok {
		return
	}
	more := comparison(r.Reason, w.request.Header("Origin"), w.request.Host)
	if r.Reason == wsproto.ReasonUnauthorized || r.Reason == wsproto.ReasonAuthDown {
		more = []any{"detail", r.Text} // Which of many it is; in words of ours.
	}
	from := ""
	if c != nil {
		from, more = c.from(), append(more, "id", c.id())
	} else {
		from = w.peer(fd)
	}
	w.server.logRefused(r, from, head, skipped, more)
}

func (s *Server) logRefused(r *wsproto.Refusal, from string, head []byte, skipped uint64, more []any) {
	if r.Reason == wsproto.ReasonNotHTTP && len(head) > 0 && head[0] == tlsHandshake {
		more = []any{"hint", "TLS on a plain port: connect to ws:// or http://, or to a --tls-listen address"}
	}
	s.log.Info("refused", append([]any{
		"reason", r.Reason.String(), "status", r.Status, "from", from, "request", requestText(head), "and_more", skipped,
	}, more...)...)
}

// logAbuse says that a client was closed for what it did. detail is in words of ours.
func (c *conn) logAbuse(r CloseReason, detail string) {
	skipped, ok := c.w.server.samples.closed[r].Take(c.w.kernel.Now())
	if !ok {
		return
	}
	line := []any{
		"reason", r.String(), "detail", detail, "id", c.id(), "from", c.from(),
		"room", clipText([]byte(c.roomName())), "and_more", skipped,
	}
	if hint := abuseHints[r]; hint != "" {
		line = append(line, "hint", hint)
	}
	c.w.log.Info("closed for abuse", line...)
}

// abuseHints are what helps if such clients are honest.
var abuseHints = map[CloseReason]string{
	ClosedCorrupt:       "if the client keeps its context though told not to, as Safari 15 does: --room 'PATTERN=plain'",
	ClosedInflation:     "if its messages are honest: a higher --inflate-rate",
	ClosedMayNotPublish: "its room is readonly (--room), or nothing grants it to publish there",
}

// standing is looked up while the connection is in its room, and its peer is there.
func (c *conn) standing(r CloseReason) (s standing) {
	if c.reader.IsIn() {
		s.room = c.roomName()
		if r.isSlowness() {
			s.lag = c.reader.Lag(c.w.loop.Now())
		}
	}
	if r.isTold() || c.w.log.Enabled(context.Background(), slog.LevelDebug) {
		s.from = c.from()
	}
	return s
}

// logJoined says for debugging that a client is in its room. logLeft has the same id.
func (c *conn) logJoined(room string, reads hub.Encoding) {
	if c.w.log.Enabled(context.Background(), slog.LevelDebug) {
		c.w.log.Debug("client joined", "id", c.id(), "from", c.from(), "room", clipText([]byte(room)),
			"encoding", encodings[reads].Name)
	}
}

// logSlow says for debugging that a client has fallen far behind in a room, or caught up again.
func (c *conn) logSlow(isSlow bool, room string, lag hub.Lag) {
	c.w.log.Debug("slow client", "slow", isSlow, "id", c.id(), "room", room,
		"messages", lag.Messages, "bytes", lag.Bytes, "age", lag.Age)
}

// roomName is the room that the connection is in; empty, of a subscriber, which may be in many.
func (c *conn) roomName() string {
	if c.past == subscribes {
		return ""
	}
	return c.reader.Room().Name()
}

// logLeft says that a client is gone and why: for debugging everybody's end, otherwise that of
// those who were cut, now and then.
func (c *conn) logLeft(r CloseReason) {
	level, skipped := slog.LevelDebug, uint64(0)
	if r.isTold() {
		if n, ok := c.w.server.samples.closed[r].Take(c.w.kernel.Now()); ok {
			level, skipped = slog.LevelInfo, n
		}
	}
	if !c.w.log.Enabled(context.Background(), level) {
		return
	}
	s := c.standing(r)
	if c.end != nil && !c.reader.IsIn() { // As it was before it left.
		s = c.end.standing
	}
	line := []any{"reason", r.String()}
	if r == ClosedCloseTimeout && c.end != nil { // Most who are overrun do not take the Close frame either.
		line = append(line, "because", c.end.reason.String())
	}
	c.w.log.Log(context.Background(), level, "client left", append(line, "id", c.id(), "from", s.from,
		"room", clipText([]byte(s.room)), "messages_behind", s.lag.Messages, "bytes_behind", s.lag.Bytes, "and_more", skipped)...)
}

// id names a connection in the log: its loop, and its token there.
func (c *conn) id() string { return fmt.Sprintf("%d.%x", c.w.no, uint64(c.token)) }

// from is where the connection comes from, for a log.
func (c *conn) from() string { return addressText(c.address()) }

// address is where the connection comes from: the client that a trusted proxy has named, or its
// peer, as far as the kernel can tell.
func (c *conn) address() netip.Addr {
	if c.meter != nil && c.meter.from.IsValid() {
		return c.meter.from
	}
	from, _ := c.w.kernel.PeerAddress(int(c.fd)) // Whoever is gone has none.
	return from
}

// peer is where a connection comes from, as far as the kernel can tell.
func (w *worker) peer(fd int) string {
	from, err := w.kernel.PeerAddress(fd)
	if err != nil {
		return ""
	}
	return addressText(from)
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// requestText is the beginning of a request's first line, for a log. What stands behind a question
// mark is left out: people put passwords there.
func requestText(head []byte) string {
	line := head
	for _, end := range []string{"\n", "\r", "?"} {
		line, _, _ = bytes.Cut(line, []byte(end))
	}
	return clipText(line)
}

// textMax is how much of a client's text stands in a log line, in bytes before they are escaped.
const textMax = 64

// clipText makes a client's text fit to be logged, whatever shows the log: cut short, and every
// byte that is not printable ASCII escaped as Go does it.
func clipText(p []byte) string {
	quoted := strconv.QuoteToASCII(string(p[:min(len(p), textMax)]))
	text := quoted[1 : len(quoted)-1]
	if len(p) > textMax {
		text += "..."
	}
	return text
}

// comparison is what a log tells of a request that was refused for where its page comes from: what
// was compared, and the flag that would let it in.
func comparison(reason wsproto.Reason, origin, host []byte) []any {
	words := []any{"origin", clipText(origin), "host", clipText(host)}
	switch reason {
	case wsproto.ReasonOrigin:
		if o, err := wsproto.ParseOrigin(string(origin)); err == nil && len(origin) <= textMax {
			return append(words, "hint", "--allow-origin "+o.String())
		}
		if string(origin) == "null" {
			return append(words, "hint", "--allow-origin null")
		}
	case wsproto.ReasonForeignHost:
		if name := wsproto.HostName(host); name != "" && len(name) <= textMax {
			return append(words, "hint", "--allow-host "+name)
		}
	default:
		return nil
	}
	return words
}

// tlsHandshake is the first byte of a TLS client (RFC 8446 §5.1).
const tlsHandshake = 0x16
