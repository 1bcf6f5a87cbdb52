//go:build linux

package simclient

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"

	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// A Stream is one connection of a Reader.
type Stream struct {
	Reader *Reader
	Peer   *reactortest.Peer
	Since  string // the position that it asks for; empty: none
	Last   int    // … or with how many messages it is to begin
	IsCut  bool   // by its reader
	Status int
	IsOver bool // its last event was its farewell
	Began  bool // the first block has come

	out, in []byte
	events  eventParser
	got     int // bytes
	cutAt   int // how many it gets before it is cut, or zero
}

// compose makes the request: behind the last event that it has had, or as it likes.
func (s *Stream) compose() {
	r, random := s.Reader, s.Reader.w.Random
	query, lines := "", []string{"Accept: text/event-stream"}
	s.Since = r.LastID
	if s.Since == "" {
		switch random.IntN(8) {
		case 0:
			s.Last = 1 + random.IntN(10)
			query = fmt.Sprintf("?last=%d", s.Last)
		case 1:
			s.Last, query = All, "?last=all"
		case 2:
			s.Since = "nonsense"
		case 3:
			s.Since = "elsewhen:7"
		case 4, 5:
			s.Since = r.Judge.Position()
		}
	}
	switch {
	case s.Since == "":
	case random.IntN(2) == 0:
		query = "?since=" + s.Since
	default:
		lines = append(lines, "Last-Event-ID: "+s.Since)
	}
	s.out = wstest.PlainGet("/sse/"+RoomName(r.Room)+query, lines...)
}

func (s *Stream) ask() bool {
	n, err := s.Peer.Write(s.out)
	switch {
	case err == nil:
		s.out = s.out[n:]
		return true
	case errors.Is(err, syscall.EAGAIN):
		return false
	}
	s.out = nil // What it hears says why.
	return true
}

// receive takes some of what has arrived, up to where the stream is to be cut.
func (s *Stream) receive() bool {
	r := s.Reader
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
		s.parse(buf[:n])
		if s.got == s.cutAt {
			s.cut()
		}
		return true
	}
	r.w.Kernel.Note("reader %d sees its end: %v", r.No, err)
	r.Judge.Ends(s, err != nil)
	if !s.Began && !s.IsCut {
		r.failed()
	}
	s.Peer.Close()
	r.lose()
	return true
}

// cut ends the stream from the reader's side: by a reset, by close(2), by leaving it as it is, as
// one does whose network has gone, or by ending what it sends, and then it reads on to the end.
func (s *Stream) cut() {
	r := s.Reader
	r.cuts--
	s.IsCut, s.cutAt, s.out = true, 0, nil
	switch r.w.Random.IntN(4) {
	case 0:
		s.Peer.Reset()
		r.lose()
	case 1:
		s.Peer.Close()
		r.lose()
	case 2:
		r.gone = append(r.gone, s.Peer)
		r.lose()
	default:
		_ = s.Peer.CloseWrite() // Where the gateway was first, its end comes.
	}
}

// parse takes apart what has come.
func (s *Stream) parse(p []byte) {
	if s.Status == 0 {
		s.in = append(s.in, p...)
		head, behind, ok := bytes.Cut(s.in, []byte("\r\n\r\n"))
		if !ok {
			return
		}
		s.gotHead(string(head))
		p = behind
	}
	if s.Status != 200 {
		return
	}
	for {
		b, rest, ok := s.events.next(p)
		if !ok || s.Reader.w.Err != nil {
			return
		}
		s.gotBlock(&b)
		p = rest
	}
}

func (s *Stream) gotHead(head string) {
	if _, err := fmt.Sscanf(head, "HTTP/1.1 %d ", &s.Status); err != nil {
		s.Fail("an answer that begins with %.40q", head)
	}
	if s.Status != 200 {
		s.Reader.Judge.Refused(s)
	} else if !bytes.Contains([]byte(head), []byte("\r\nContent-Type: text/event-stream\r\n")) {
		s.Fail("events that do not say so: %q", head)
	}
}

func (s *Stream) gotBlock(b *Block) {
	r := s.Reader
	switch {
	case s.IsOver:
		s.Fail("something behind its farewell: %+v", *b)
	case !s.Began:
		s.Began = true
		r.Judge.Begins(s, b)
	case !b.IsEmpty():
		r.Judge.Hears(s, b)
		s.IsOver = b.Type == "close"
	}
	if b.HasID {
		r.LastID = b.ID
	}
}

// Fail notes what is wrong with what the reader hears.
func (s *Stream) Fail(format string, args ...any) {
	s.Reader.w.Fail("reader %d (connection %d): %s", s.Reader.No, s.Peer.No(), fmt.Sprintf(format, args...))
}
