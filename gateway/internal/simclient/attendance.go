//go:build linux

package simclient

import (
	"math/rand/v2"

	"github.com/centrifugal/protocol"
)

// AttendanceStream keeps what DrawAttendance draws apart from all else.
const AttendanceStream = 105

// DrawAttendance draws whether rooms keep who is there. Nobody acts otherwise for that.
func (p *Plan) DrawAttendance(r *rand.Rand) { p.KeepsAttendance = r.IntN(3) == 0 }

// askWho asks who is in a room, or how many are.
func (s *Socket) askWho(room int) *Asked {
	a := &Asked{Command: &protocol.Command{}, Room: room}
	if s.Subscriber.w.Random.IntN(2) == 0 {
		a.Command.Presence = &protocol.PresenceRequest{Channel: RoomName(room)}
	} else {
		a.Command.PresenceStats = &protocol.PresenceStatsRequest{Channel: RoomName(room)}
	}
	s.Subscriber.Judge.AsksWho(s, a)
	return s.sends(a)
}
