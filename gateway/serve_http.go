package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"sluice/wsproto"
)

// startPatience is how long a request waits for Serve: a program calls it on a goroutine of its
// own, and its first client may be faster.
const startPatience = time.Second

// ServeHTTP takes WebSockets, and readers of events, from a server of the program's own:
//
//	mux.Handle("/ws/", gw)                                 // /ws/{room}
//	mux.Handle("/ws", gw)                                  // the room "lobby"
//	mux.Handle("/sse/", gw)                                // /sse/{room}
//	mux.Handle("/chat/ws/", http.StripPrefix("/chat", gw)) // /chat/ws/{room}
//
// The path that arrives here names the room as it does on a listener of the gateway's: /ws or /sse,
// with or without /{room}. Any other is answered with 404; Options.Pages is not asked.
//
// The connection leaves net/http for one of the gateway's loops, and the goroutine that served it
// ends. From there on it is like those that the gateway accepted: it is in the same rooms, within
// the same limits, and counted with them. Serve has to run; Listen need not have been called.
// http.Server's Shutdown and Close know nothing of connections that have left it: Drain and Close
// end them.
//
// What differs is said here:
//
//   - net/http has judged the request's head before the gateway does, and is more lenient: it joins
//     folded lines and takes a bare line feed for a line's end. Requests in front of this one are
//     its own affair.
//   - How long a head may take to come is for http.Server's ReadHeaderTimeout to say. Its timeouts
//     end when the connection leaves. That a head has at most MaxHead bytes and 128 lines holds
//     here, too.
//   - Headers that handlers in front have set for the response are not sent with the upgrade.
//   - MaxPerAddress and ConnectRate count for r.RemoteAddr. A handler in front may set it to the
//     client that a proxy of the program's speaks for.
//   - TLS is refused with 501: its keys are with net/http and cannot leave it. So is HTTP/2, with
//     505, and, with 501, a connection that is not a plain *net.TCPConn or *net.UnixConn, or a
//     ResponseWriter that cannot be hijacked. A proxy in front ends TLS and speaks HTTP/1.1 to the
//     program.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch _, by := roomOf(r.URL.Path); {
	case by == notAtAll:
		s.refuseHTTP(w, r, refusedPath)
	case r.TLS != nil && !s.hasLent(r):
		s.refuseHTTP(w, r, refusedTLS)
	case r.ProtoMajor != 1:
		s.refuseHTTP(w, r, refusedHTTP2)
	default:
		s.takeOver(w, r, r.URL.RequestURI()) // Handlers in front may have changed the path.
	}
}

// takeOver takes a request's connection from net/http and gives it to a loop, which sees the
// request as though it had just been read, with this target. It is refused while that can still be
// said by w, or on the connection itself.
func (s *Server) takeOver(w http.ResponseWriter, r *http.Request, target string) {
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		s.refuseHTTP(w, r, wsproto.Refuse(wsproto.ReasonBody))
		return
	}
	read := appendRequest(nil, r, target)
	if int64(len(read)) > s.config().MaxHead {
		s.refuseHTTP(w, r, wsproto.Refuse(wsproto.ReasonHeadSize))
		return
	}
	isLent := s.hasLent(r)
	var key netip.Addr
	if !isLent {
		var refusal *wsproto.Refusal
		if key, refusal = s.admitHTTP(r); refusal != nil {
			s.refuseHTTP(w, r, refusal)
			return
		}
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		if !isLent {
			s.leave(key)
		}
		s.refuseHTTP(w, r, refusedWriter)
		return
	}
	lent, _ := conn.(*lentConn) // If not, though lent, a handler in front wraps it, and it is refused.
	if isLent {
		if lent != nil {
			key = lent.key
		}
		s.stay(key) // Closing conn counts the lent one out.
	}
	read = appendBuffered(read, buffered.Reader)
	a := arrival{key: key}
	if lent != nil {
		read = append(read, lent.behind...)
		a.from, a.secured, lent.isGiven = lent.named, lent.secured, true
	}
	if refusal := s.handOver(conn, func(w *worker, fd int) { a.fd = fd; w.takeOver(a, read, isLent) }); refusal != nil {
		if lent != nil {
			lent.isGiven = false
		}
		s.leave(key)
		s.noteRequest(r, refusal)
		dismiss(conn, refusal)
		return
	}
	conn.Close()
}

// hasLent reports whether a request came by a connection of the gateway's own: Pages may lead to
// ServeHTTP, too.
func (s *Server) hasLent(r *http.Request) bool {
	return r.Context().Value(http.ServerContextKey) == s.http
}

// admitHTTP counts the connection of a request in, under the returned key.
func (s *Server) admitHTTP(r *http.Request) (key netip.Addr, refusal *wsproto.Refusal) {
	if !s.awaitServe(r.Context()) {
		return key, refusedUnserved
	}
	if from := remoteAddr(r); s.admission.asks() && s.admission.counts(from) {
		key = addressKey(from)
	}
	if reason := s.admit(key, s.workers[0].kernel.Now()); reason != 0 {
		s.refusals.rejected.Add(1)
		return key, wsproto.Refuse(reason).RetryAfter(1 + rand.IntN(retryMax))
	}
	if !s.isOpen.Load() { // Not before: Drain waits for whom it finds counted in, and has found this one or is seen here.
		s.leave(key)
		return key, wsproto.Refuse(wsproto.ReasonUnavailable)
	}
	return key, nil
}

// awaitServe returns true when Serve was called, now or soon or long ago.
func (s *Server) awaitServe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-s.started:
		return true
	case <-s.life.Done(): // It will not serve, which admitHTTP finds out.
		return true
	case <-ctx.Done():
		return false
	}
}

// appendRequest writes the head of r as it stood on the wire, near enough: names in canonical case
// and order changed, every value kept. A line end that a handler in front has put into a header
// becomes a space.
func appendRequest(dst []byte, r *http.Request, target string) []byte {
	b := bytes.NewBuffer(dst)
	fmt.Fprintf(b, "%s %s HTTP/%d.%d\r\nHost: %s\r\n", r.Method, target, r.ProtoMajor, r.ProtoMinor, r.Host)
	_ = r.Header.Write(b) // A Buffer takes all.
	b.WriteString("\r\n")
	return b.Bytes()
}

func appendBuffered(dst []byte, r *bufio.Reader) []byte {
	p, _ := r.Peek(r.Buffered()) // Peeking at what is buffered cannot fail.
	return append(dst, p...)
}
