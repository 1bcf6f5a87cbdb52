package gateway

import (
	"cmp"
	"strings"
	"time"

	"sluice/hub"
)

const (
	RoomsShown = 10   // of a connection in a list
	RoomsMax   = 1000 // of one connection alone
)

// A RoomLag is a client of the Centrifuge protocol in one of its rooms.
type RoomLag struct {
	Room      string
	Lag       hub.Lag
	IsBlocked bool // it has yet to get something that its connection does not take at the moment
	IsSlow    bool // it was beyond half of the backlog for a while, and has not caught up
}

func compareRoomLags(a, b *RoomLag) int {
	return cmp.Or(-cmp.Compare(a.Lag.Bytes, b.Lag.Bytes), strings.Compare(a.Room, b.Room))
}

// lags tells of one room, if it is named, or of those in which the subscriber is furthest behind.
func (s *subscriber) lags(room string, limit int) []RoomLag {
	if room != "" {
		return []RoomLag{s.find(room).lag(s.w.loop.Now())}
	}
	first := top[RoomLag]{limit: limit, compare: compareRoomLags}
	for _, sub := range s.subscriptions {
		one := sub.lag(s.w.loop.Now())
		first.add(&one)
	}
	return first.sorted()
}

func (sub *subscription) lag(now time.Duration) RoomLag {
	return RoomLag{sub.Room().Name(), sub.Lag(now), sub.IsBlocked(), sub.IsSlow()}
}

// behind is how many bytes the connection is behind, in the room if one is named.
func (c *conn) behind(room string) int64 {
	if s := c.subscriber(); s != nil && room != "" {
		return s.find(room).Behind()
	}
	return c.reader.Behind()
}
