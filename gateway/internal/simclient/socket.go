//go:build linux

package simclient

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// A Socket is one connection of a Subscriber.
type Socket struct {
	Subscriber *Subscriber
	Peer       *reactortest.Peer
	Status     int // of a refusal
	IsUpgraded bool
	Deflates   bool // as agreed
	IsCut      bool // by its subscriber
	IsTold     bool // a Close frame came
	IsBad      bool // it has sent what is no command
	Bye        int  // code of the Close frame it has sent, or zero
	Ponged     int  // pings that it has answered …
	Pinged     int  // … of so many
	ID         string
	Token      *Token // the last one by which it is known; nil: by none

	out, in     []byte
	got         int // bytes
	cutAt       int // how many it gets before it is cut, or zero
	isComposed  bool
	isDeaf      bool          // nothing more can be sent
	refreshAt   time.Duration // when it is to bring another token; zero: it is not
	isGreeting  bool          // its command to connect is sent …
	isConnected bool          // … and answered
	lastID      uint32
	asked       []*Asked // commands that are not answered, in their order
	rooms       []presence
	isHalf      bool
}

// Fail notes what is wrong with what the subscriber hears.
func (s *Socket) Fail(format string, args ...any) {
	s.Subscriber.w.Fail("subscriber %d (connection %d): %s", s.Subscriber.No, s.Peer.No(), fmt.Sprintf(format, args...))
}

// transmit sends some of what is to be sent, or thinks of something.
func (s *Socket) transmit() bool {
	w := s.Subscriber.w
	if len(s.out) == 0 && s.mayTalk() {
		s.compose()
	}
	if len(s.out) == 0 {
		return false
	}
	n := len(s.out)
	if !w.IsHealing && w.Random.IntN(2) == 0 {
		n = 1 + w.Random.IntN(n)
	}
	n, err := s.Peer.Write(s.out[:n])
	switch {
	case err == nil:
		s.out = s.out[n:]
		return true
	case errors.Is(err, syscall.EAGAIN):
		return false
	}
	s.out, s.isDeaf = nil, true
	return true
}

// mayTalk says that commands may still be sent.
func (s *Socket) mayTalk() bool {
	return !s.IsCut && !s.IsTold && !s.isHalf && !s.isDeaf && s.Bye == 0 && !s.IsBad && s.Status == 0
}

// receive takes some of what has arrived, up to where the connection is to be cut.
func (s *Socket) receive() bool {
	r := s.Subscriber
	buf := r.w.buf[:]
	if r.kind == slow && !r.w.IsHealing {
		buf = buf[:r.sip]
	}
	if s.cutAt > 0 {
		buf = buf[:min(len(buf), s.cutAt-s.got)]
	}
	n, err := s.Peer.Read(buf)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err == nil && n > 0:
		s.got += n
		s.in = append(s.in, buf[:n]...)
		s.parse()
		if s.got == s.cutAt && r.w.Err == nil {
			s.cut()
		}
		return true
	}
	r.w.Kernel.Note("subscriber %d sees its end: %v", r.No, err)
	r.Judge.Ends(s, err != nil || s.isDeaf)
	if len(s.in) > 0 && err == nil && s.IsUpgraded && !s.Peer.IsDoomed() && !s.isDeaf {
		s.Fail("its stream ends in the middle of a frame: %x", s.in)
	}
	if !s.isConnected && !s.IsCut {
		r.failed()
	}
	s.Peer.Close()
	r.lose()
	return true
}

// cut ends the connection from the subscriber's side: by a reset, by close(2), by leaving it as it
// is, as one does whose network has gone, by ending what it sends, or by a Close frame; and after
// the latter two it reads on to the end.
func (s *Socket) cut() {
	r := s.Subscriber
	r.cuts--
	s.IsCut, s.cutAt = true, 0
	how := r.w.Random.IntN(5)
	if how == 4 && (!s.IsUpgraded || len(s.out) > 0 || s.isDeaf) {
		how = 3
	}
	switch how {
	case 0:
		s.Peer.Reset()
		r.lose()
	case 1:
		s.Peer.Close()
		r.lose()
	case 2:
		r.gone = append(r.gone, s)
		r.lose()
	case 3:
		s.out, s.isHalf = nil, true
		_ = s.Peer.CloseWrite() // Where the gateway was first, its end comes.
	default:
		s.Bye = 1000
		s.out = append(s.out, wstest.MaskedClose(1000, "bye")...)
	}
}

// silence says of the voices of a connection that is over that nobody may wait for them.
func (s *Socket) silence() {
	for i := range s.rooms {
		if v := s.rooms[i].voice; v != nil {
			v.IsClosed = true
		}
	}
}

// parse takes apart what has come, with independent parsers.
func (s *Socket) parse() {
	if !s.IsUpgraded && s.Status == 0 && !s.parseHead() {
		return
	}
	if s.Status != 0 {
		s.in = nil // the body of a refusal
		return
	}
	w := s.Subscriber.w
	for len(s.in) > 0 && w.Err == nil {
		r := bytes.NewReader(s.in)
		h, err := ws.ReadHeader(r)
		whole := len(s.in) - r.Len() + int(h.Length)
		switch {
		case err != nil && len(s.in) >= ws.MaxHeaderSize, err == nil && h.Length > 1<<20:
			s.Fail("no frame: %v in %x", err, s.in[:ws.MinHeaderSize])
			return
		case err != nil || whole > len(s.in):
			return
		}
		payload := bytes.Clone(s.in[whole-int(h.Length) : whole])
		s.in = s.in[whole:]
		s.gotFrame(h, payload)
	}
}

// parseHead judges the answer to the request, once it is whole.
func (s *Socket) parseHead() (isWhole bool) {
	head, behind, ok := bytes.Cut(s.in, []byte("\r\n\r\n"))
	if !ok {
		return false
	}
	s.in = behind
	if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d ", &s.Status); err != nil {
		s.Fail("an answer that begins with %.40q", head)
	}
	if s.Status != 101 {
		s.Subscriber.Judge.Refused(s)
		return true
	}
	s.Status, s.IsUpgraded = 0, true
	lines := string(head) + "\r\n"
	if !strings.Contains(lines, "Sec-WebSocket-Accept: "+wstest.SampleAccept+"\r\n") ||
		s.Subscriber.isProtobuf && !strings.Contains(lines, "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n") {
		s.Fail("it was upgraded with %q", head)
	}
	s.Deflates = strings.Contains(lines, deflateOffer)
	if s.Deflates != (s.Subscriber.offers && s.Subscriber.w.Plan.Compress) {
		s.Fail("it offers compression: %v; it was answered with %q", s.Subscriber.offers, head)
	}
	return true
}

// tooMany is what the protocol's clients are told that send too much.
const tooMany = 3013

func (s *Socket) gotFrame(h ws.Header, payload []byte) {
	want := ws.OpText
	if s.Subscriber.isProtobuf {
		want = ws.OpBinary
	}
	switch {
	case s.IsTold:
		s.Fail("a frame behind the Close frame: %+v %q", h, payload)
	case h.Masked || !h.Fin || h.Rsv2() || h.Rsv3() || h.Rsv1() && (!s.Deflates || !h.OpCode.IsData()):
		s.Fail("a frame that no server sends: %+v", h)
	case h.OpCode == want && h.Rsv1():
		s.gotReplies(s.Subscriber.w.inflate(payload))
	case h.OpCode == want:
		s.gotReplies(payload)
	case h.OpCode == ws.OpClose && len(payload) > 2:
		s.IsTold = true
		code := int(binary.BigEndian.Uint16(payload))
		s.Subscriber.w.Kernel.Note("subscriber %d is told %d, %s", s.Subscriber.No, code, payload[2:])
		s.Subscriber.Judge.Told(s, code, string(payload[2:]))
		s.Subscriber.isPatient = s.Subscriber.isPatient || code == tooMany
		if s.Bye == 0 && !s.isHalf && !s.isDeaf && len(s.out) == 0 {
			s.out = wstest.MaskedClose(1000, "bye")
		}
	case h.OpCode == ws.OpClose && s.Bye != 0:
		s.IsTold = true // Its own code, come back.
	default:
		s.Fail("a frame that no server sends to a subscriber: %+v %q", h, payload)
	}
}
