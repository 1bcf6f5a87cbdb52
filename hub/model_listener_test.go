package hub

import (
	"bytes"
	"encoding/binary"
)

// A listener is a member and what its client must see next.
type listener struct {
	*Member
	*client
	m    *model
	pipe *pipe // that of a bundle's reader, to which its bytes come
	// It has left when its pipe had so many bytes; frames that begin before upTo are its own.
	isGone       bool
	goneAt, upTo int
	story        *story
	track        Encoding
	next         uint64 // number of the frame that must come next; overrun: of the first one missed
	read         int    // bytes of got that were parsed
	seen         int    // calls of Overrun that were looked at
	turns        int    // calls of Resume that were looked at
	said         int    // bytes since its turn began, or ended
	// It was overrun and may rejoin by itself, because its turn is not over: what it has missed
	// shows when it goes on.
	mayJump   bool
	isSpeaker bool // it gets nothing
	isHeld    bool // it gets nothing yet
}

// look takes what came and befell the listener since the last look.
func (l *listener) look() {
	if l.pipe != nil {
		l.pipe.look()
		return
	}
	again := l.mayJump // It may have rejoined since, and been refused before a byte of that came.
	l.mayJump = l.mayJump || l.overruns > l.seen
	l.parse()
	if l.overruns > l.seen {
		again = again || l.overruns > l.seen+1
		l.seen = l.overruns
		l.jump(again)
	}
}

// parse holds the whole frames that came to the story.
func (l *listener) parse() {
	t := l.m.t
	for {
		p := l.got[l.read:]
		if len(p) < frameHead || len(p) < int(binary.BigEndian.Uint32(p)) {
			return
		}
		p = p[:binary.BigEndian.Uint32(p)]
		seq := uint64(binary.BigEndian.Uint32(p[4:]))
		if l.mayJump && seq > l.next {
			l.miss(seq)
		}
		if seq != l.next {
			t.Fatalf("message %d came in place of %d", seq, l.next)
		}
		if want := l.story.frames[seq-1][l.track]; !bytes.Equal(p, want) {
			t.Fatalf("message %d came with other bytes in track %d", seq, l.track)
		}
		l.next++
		l.story.got++
		l.read += len(p)
	}
}

// jump follows a member that was overrun out of the log.
func (l *listener) jump(again bool) {
	t := l.m.t
	if l.IsIn() && !l.cursor.isOverrun() {
		return // It has rejoined by itself already, behind the rest of its frame.
	}
	isInFrame := len(l.got) > l.read
	if isInFrame != (len(l.rest.Bytes()) > 0) && !l.aborted {
		t.Fatalf("in the middle of a frame: %v, and owed %d bytes", isInFrame, len(l.rest.Bytes()))
	}
	if l.m.policy == Disconnect {
		if l.IsIn() {
			t.Fatal("overrun and still in its room")
		}
		return
	}
	if !l.IsIn() {
		return // Given up since, for want of pinned memory.
	}
	if isInFrame {
		// The frame it is in the middle of comes whole, then the gap.
		l.got = append(l.got, l.rest.Bytes()...)
		l.rest.Sent(len(l.rest.Bytes()))
		if l.parse(); l.read != len(l.got) {
			t.Fatal("the rest of a frame does not make it whole")
		}
	}
	if !l.cursor.isOverrun() || l.cursor.seq() == l.next {
		return
	}
	if !again {
		t.Fatalf("overrun before message %d, and its cursor is before %d", l.next, l.cursor.seq())
	}
	l.miss(l.cursor.seq())
	l.mayJump = true
}

// miss follows a member that is overrun back into the log, where it goes on with the message of
// that number, if it does.
func (l *listener) miss(upTo uint64) {
	if upTo < l.next {
		l.m.t.Fatalf("overrun before message %d, and %d is still there", l.next, upTo)
	}
	l.m.missed += upTo - l.next
	l.next = upTo
	l.mayJump = false
}

// oldest is the number of the first message that the listener's track retains, and whose record its
// room does.
func (l *listener) oldest() uint64 {
	oldest := l.branch.track.oldest.Load().first
	if log := &l.Room().log; log.history != nil {
		oldest = max(oldest, log.tracks[source].oldest.Load().first)
	}
	return oldest
}

// open lets n more bytes through. Where that ends a drift, the policy says what comes next.
func (l *listener) open(n int) {
	l.look()
	if l.pipe != nil {
		l.pipe.open(n)
		return
	}
	if l.IsIn() && l.cursor.isOverrun() {
		if l.m.policy == Skip {
			l.miss(l.oldest())
		} else {
			newest := l.branch.track.atNewest() // Behind the last message, if memory was too short to keep it.
			l.miss(newest.seq())
		}
	}
	l.client.open(n)
}

// leave leaves the room.
func (l *listener) leave() {
	if l.look(); l.IsIn() && !l.cursor.isOverrun() && l.mayJump && l.cursor.seq() > l.next {
		l.miss(l.cursor.seq())
	}
	l.rest.Release()
	l.Leave()
	l.look()
	l.leaveLine()
}
