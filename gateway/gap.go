package gateway

import "time"

// In a room with a history a client counts by offsets, and a gap would be silent: it goes on at the
// next one. So one that has missed something is told to subscribe anew, which it does at once from
// its last position, and is answered truthfully. One that is told so again and again takes less
// than its rooms publish: its whole connection ends, and comes back behind a backoff. Not every
// client subscribes at once where the protocol is protobuf: their connection ends the first time.

const (
	// gapEvery is how often one subscription may have a gap.
	gapEvery = 5 * time.Second
	// gapsMax is how many gaps of the last gapEvery are remembered.
	gapsMax = 16
)

// gaps are the rooms in which a subscriber has missed something of late.
type gaps struct {
	rooms [gapsMax]string
	at    [gapsMax]time.Duration
}

// note notes a gap, and reports whether the room had one of late, or too many rooms had.
func (g *gaps) note(room string, now time.Duration) (isOften bool) {
	free := -1
	for i := range g.rooms {
		switch isRecent := g.rooms[i] != "" && now-g.at[i] < gapEvery; {
		case isRecent && g.rooms[i] == room:
			return true
		case !isRecent:
			free = i
		}
	}
	if free < 0 {
		return true
	}
	g.rooms[free], g.at[free] = room, now
	return false
}
