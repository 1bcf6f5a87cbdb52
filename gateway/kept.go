package gateway

import (
	"context"
	"errors"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/wsproto"
)

// ErrNoHistory is the error of who asks for what a room keeps that keeps nothing by any rule.
var ErrNoHistory = errors.New("the room keeps no messages: no rule of --history is for it")

// A Kept is a message that a room keeps.
type Kept struct {
	Message        // not to be changed
	Offset  uint64 // its position in its room's epoch
	Millis  int64  // when it came, in milliseconds since 1970

	isValue bool
	info    centrifuge.Info
}

func keptOf(r *hub.Record) Kept {
	m := messageOf(&r.Source)
	return Kept{Message{Data: m.Payload, IsBinary: m.Op == wsproto.OpBinary}, r.Offset, r.Time / 1e6, m.isValue, m.info}
}

// Publication is the message as the Centrifuge protocol has it: what a subscriber got, or would
// have.
func (k *Kept) Publication() *protocol.Publication {
	p := &protocol.Publication{Info: k.info.ClientInfo(), Offset: k.Offset}
	isBase64 := false
	if p.Data, isBase64 = centrifuge.AppendData(nil, kindOf(k.IsBinary, k.isValue), k.Data); isBase64 {
		p.Tags = map[string]string{"encoding": "base64"}
	}
	return p
}

// A KeptPage is some of what a room keeps.
type KeptPage struct {
	Messages []Kept
	Position hub.Position // behind the last of them; the next page is since it
	End      hub.Position // of the last message there is; without an epoch the room is not there
	Answer   hub.Answer   // hub.Recovered, or why what was asked for is not to be had
	HasMore  bool
}

// Kept returns some of what a room keeps, from start on: the oldest first, limit messages at most,
// and of them no more than there are bytes for, but one at least. The zero Start is the oldest. It
// asks for no permission. With a Cluster it may wait until the room is filled, but no longer than
// ctx says, or Options.ClusterTimeout: ErrUnfilled; and two seconds more until it has come to
// start's position, which another node may have told.
func (s *Server) Kept(ctx context.Context, room string, start hub.Start, limit int, bytes int64) (page KeptPage, err error) {
	if s.follows() {
		if err := s.fill(ctx, room); err != nil {
			return page, err
		}
		s.chase(ctx, room, start.Since)
	}
	r, err := s.keeper(room)
	if err != nil {
		return page, err
	}
	if r == nil { // It has ended, or nothing was ever said there.
		page.Answer = hub.Recovered
		if start.Since.Epoch != "" {
			page.Answer = hub.WrongEpoch
		}
		return page, nil
	}
	p := r.Read(start, limit, bytes)
	page = KeptPage{Position: p.Position, End: p.End, Answer: p.Answer, HasMore: p.HasMore}
	for i := range p.Records {
		page.Messages = append(page.Messages, keptOf(&p.Records[i]))
	}
	return page, nil
}

// Keeps reports whether a room keeps messages, or would if it were there. It makes no room, and
// waits for no Cluster. It may be called from any goroutine.
func (s *Server) Keeps(room string) bool {
	_, err := s.keeper(room)
	return err == nil
}

// fill waits until a room that keeps messages has those that the cluster has of it: no longer than
// ctx, the server and ClusterTimeout.
func (s *Server) fill(ctx context.Context, room string) error {
	if !isRoomName(room) || s.config().historyOf(room) == (hub.History{}) {
		return nil // As without a cluster.
	}
	if err := s.hub.Make(room); err != nil {
		return ErrTooManyRooms
	}
	r, isThere := s.hub.Room(room)
	if isThere && r.IsWhole() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.config().ClusterTimeout)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if s.opener.await(ctx, room) != nil {
		return ErrUnfilled
	}
	return nil
}

// RemoveKept makes a room forget all that it keeps. Clients that are behind may get it still; who
// asks for it again is told that it is too old. In a cluster all nodes forget it, and what is
// published meanwhile may be kept on some of them and not on others; the error is ErrUnanswered if
// it may not be done everywhere, and it may be called again.
func (s *Server) RemoveKept(room string) error {
	if _, err := s.keeper(room); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.life, s.config().ClusterTimeout)
	defer cancel()
	if s.follows() && s.cluster.Purge(ctx, room) != nil {
		return ErrUnanswered
	}
	s.clear(room)
	if s.nodes == nil {
		return nil
	}
	asked, answered, err := s.askNodes(ctx, &nodeQuestion{Do: askForget, ending: ending{Room: room}}, func(string, *nodeAnswer) {})
	if err == nil && answered < asked {
		err = ErrUnanswered
	}
	return err
}

// clear makes a room of this gateway forget what it keeps, if it is there.
func (s *Server) clear(room string) {
	if r, ok := s.hub.Room(room); ok {
		r.Clear()
	}
}

// keeper is a room that keeps messages: nil if it would, and is not there.
func (s *Server) keeper(room string) (*hub.Room, error) {
	if !isRoomName(room) {
		return nil, ErrRoomName
	}
	r, ok := s.hub.Room(room)
	switch {
	case ok && r.Epoch() != "":
		return r, nil
	case ok, s.config().historyOf(room) == hub.History{}: // One without was there before its rule.
		return nil, ErrNoHistory
	}
	return nil, nil
}
