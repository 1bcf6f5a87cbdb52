package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"syscall"
	"unsafe"

	"sluice/reactor"
)

// A secured connection is a conn's transport that speaks TLS. crypto/tls does it, over a net.Conn
// that is the conn's own socket and never blocks:
//
//	greeting ──the ClientHello is whole──▶ shaking ──▶ sealed ⇄ lent to net/http
//	    └──────────── it is none, or fails ───┴──▶ broken ◀──┘
//
//	phase     what runs it                            what comes
//	greeting  the loop; there is no tls.Conn yet      is collected like a request head, see greet
//	shaking   a goroutine, see handshake              goes to it
//	sealed    the loop, or net/http while it is lent  is opened
//	broken    the loop                                is dropped
//
// A log's bytes are the same for all readers of a room until here: each connection has a key of its
// own, so this is where sharing ends, and where each byte is touched once for each client.
//
// It belongs to its conn's loop, but for what net/http has while it is lent.
type secured struct {
	c    *conn
	as   transport // itself, for conn.other to lead to
	conn *tls.Conn // nil while greeting
	hand *handshake

	kernel reactor.Kernel
	fd     int
	lent   net.Conn // its socket while net/http has it

	in    []byte // came behind the handshake, and was not opened
	out   []byte // sealed, and the socket has not taken it
	cause error  // why the socket gave or took nothing
	extra int64  // bytes that went to the socket beyond those that were sealed in them
	came  int    // bytes of the socket's in the last read

	phase   securePhase
	isEnded bool // the stream's end has come
	isFull  bool // more was sealed than may wait
}

// A securePhase is how far a secured connection has come, as drawn above.
type securePhase uint8

const (
	greeting securePhase = iota
	shaking
	sealed
	broken
)

const (
	// recordMax is what one record holds at most (RFC 8446 §5.1).
	recordMax = 16 << 10
	// sealedMax bounds what waits for a socket: one record, and what answers to the peer's key
	// updates come to. They are 27 bytes each, so a peer that makes that many reads nothing.
	sealedMax = 2 * recordMax
	// keepInput is what crypto/tls may keep of an input buffer that is empty.
	keepInput = 1 << 10
)

// errRecord says that a record could not be opened, or that the peer broke a rule of TLS.
var errRecord = errors.New("gateway: TLS failed")

// secure makes a new connection one that has to speak TLS.
func (c *conn) secure() *secured {
	t := &secured{kernel: c.w.kernel}
	t.as = t
	t.attach(c)
	return t
}

// attach gives t to a connection: its first, or the one that comes back from net/http.
func (t *secured) attach(c *conn) {
	t.c, t.fd, t.lent = c, int(c.fd), nil
	c.other = &t.as
}

// secured is the connection's TLS, nil if it has none.
func (c *conn) secured() *secured {
	if c.other == nil {
		return nil
	}
	t, _ := (*c.other).(*secured)
	return t
}

// Read implements transport.
func (t *secured) Read(fd int, p []byte) (n int, err error) {
	switch t.phase {
	case greeting, shaking:
		return t.greet(p)
	case broken:
		return t.kernel.Read(fd, p)
	}
	for t.came = 0; n < len(p) && t.came < 2*len(p); {
		k, more := t.conn.Read(p[n:])
		if n += k; more != nil {
			err = more
			break
		}
	}
	t.flushControl()
	switch {
	case t.isFull:
		return 0, errRecord
	case n > 0 || err == nil: // An error says so again.
		return n, nil
	case err == errNotNow:
		t.trim()
		return 0, t.cause
	}
	return 0, t.readError(err)
}

// readError tells what the end of reading means. The end of the stream without close_notify is
// counted: somebody in between may have made it (RFC 8446 §6.1).
func (t *secured) readError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if t.isEnded && t.c.life == open {
			t.c.w.stats.TLS.Truncated++
		}
		return nil
	case t.cause != nil && errors.Is(err, t.cause):
		return t.cause
	}
	return errRecord
}

// flushControl sends what crypto/tls answers by itself: key updates.
func (t *secured) flushControl() {
	if len(t.out) == 0 || t.c.isArmed {
		return
	}
	if err := t.flush(); err != nil {
		t.c.refused(err)
	}
}

// surplus is how many bytes the last read took from the socket, beyond the n that were in them: a
// turn's budget counts them too, or a client could have us open empty records for the whole of it.
func (c *conn) surplus(n int) int {
	t := c.secured()
	if t == nil {
		return 0
	}
	return max(0, t.came-n)
}

// Write implements transport. What it takes has been sealed, and cannot be sealed another time:
// what the socket does not take of it waits here, less than a record and its frame, and EAGAIN says
// so beside the count.
func (t *secured) Write(_ int, p []byte) (n int, err error) {
	switch t.phase {
	case greeting, shaking:
		return 0, syscall.EAGAIN
	case broken:
		return len(p), nil // Nobody can open it.
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	for n < len(p) {
		k := min(len(p)-n, recordMax)
		t.cause = nil
		if _, err := t.conn.Write(p[n : n+k]); err != nil {
			return n, syscall.EPIPE
		}
		t.extra -= int64(k)
		n += k
		switch {
		case t.cause != nil:
			return n, t.cause
		case len(t.out) > 0:
			return n, syscall.EAGAIN
		}
	}
	return n, nil
}

// flush sends what waits for the socket. Without an error nothing waits any more.
func (t *secured) flush() error {
	for len(t.out) > 0 {
		n, err := t.kernel.Write(t.fd, t.out)
		if t.out = t.out[n:]; errors.Is(err, syscall.EINTR) {
			err = syscall.EAGAIN // Armed, it is told at once.
		}
		if err != nil {
			return err
		}
	}
	t.out = nil
	return nil
}

// CloseWrite implements transport: close_notify, then the end of the stream.
func (t *secured) CloseWrite(fd int) error {
	if t.phase == sealed {
		_ = t.conn.CloseWrite() // It goes to memory. Called again, it does nothing.
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.kernel.CloseWrite(fd)
}

// letGo ends what its connection, which has died, leaves behind.
func (t *secured) letGo() {
	if t.hand != nil {
		t.hand.abandon()
	}
	if t.phase == sealed {
		_ = t.conn.CloseWrite() // If its last word was not said yet, it goes out while there is a socket.
	}
	t.in, t.out = nil, nil
}

// flushSealed goes on with what was sealed before anything else of the connection is written, and
// reports whether it may be.
func (c *conn) flushSealed() bool {
	t := c.secured()
	if t == nil {
		return true
	}
	if err := t.flush(); err != nil {
		c.refused(err)
		return false
	}
	if c.life == reading && c.isArmed {
		c.rearm(reactor.Readable)
	}
	return c.life != dead
}

// unsent is what Queued has to know beside the kernel's count, so that both ends of its sum are of
// the same bytes.
func (t *secured) unsent() int64 { return int64(len(t.out)) - t.extra }

// breakOff ends a connection whose records cannot be opened. The alert that says so is sent.
func (t *secured) breakOff() {
	c := t.c
	t.phase = broken
	if c.life == dead {
		return // The alert was refused, which has ended it.
	}
	if t.isFull {
		c.abort(ClosedTLS)
		return
	}
	c.dropOutbox()
	if c.life >= parting {
		c.die(c.end.reason)
		return
	}
	if c.life != finishing {
		c.beginEnd(ClosedTLS, 0, "")
	}
	c.end.code = 0
	c.part()
}

// errNotNow is the temporary error that has crypto/tls go on at the same place another time.
var errNotNow error = notNow{}

type notNow struct{}

func (notNow) Error() string   { return "the socket would block" }
func (notNow) Timeout() bool   { return true }
func (notNow) Temporary() bool { return true }

// inputBuffers are the fields of a tls.Conn that keep their memory when they are empty: 18 KiB
// after one full record, twice as much as everything else of an idle connection. Where crypto/tls
// has them no more nothing is given back.
var inputBuffers = func() (offsets []uintptr) {
	for _, name := range []string{"rawInput", "hand"} {
		f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
		if ok && f.Type == reflect.TypeFor[bytes.Buffer]() {
			offsets = append(offsets, f.Offset)
		}
	}
	return offsets
}()

// trim gives back the input buffers that are empty, when the socket has said that there is no more.
// The tls.Conn holds nothing of them then, and nobody else uses it.
func (t *secured) trim() {
	for _, offset := range inputBuffers {
		b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(t.conn), offset))
		if b.Len() == 0 && b.Cap() > keepInput {
			*b = bytes.Buffer{}
		}
	}
}
