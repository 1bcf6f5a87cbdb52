package admin

import (
	"context"
	"time"

	"sluice/gateway"
	"sluice/hub"
)

// Gateway is what the API asks of a [gateway.Server].
type Gateway interface {
	PublishAt(room string, m gateway.Message) (hub.Published, error)
	PublishAhead(room string, m gateway.Message) (p hub.Published, wait func() (hub.Published, error), err error)
	Kept(ctx context.Context, room string, start hub.Start, limit int, bytes int64) (gateway.KeptPage, error)
	Keeps(room string) bool
	RemoveKept(room string) error
	Send(ctx context.Context, id string, m gateway.Message) error
	Room(name string) (gateway.RoomInfo, bool)
	Rooms(q gateway.RoomQuery) (rooms []gateway.RoomInfo, total int)
	Connection(ctx context.Context, id string) (gateway.ConnInfo, error)
	Connections(ctx context.Context, q gateway.ConnQuery) (conns []gateway.ConnInfo, total int, err error)
	Disconnect(ctx context.Context, id, subject string, f gateway.Farewell) (gateway.Reach, error)
	DisconnectRoom(ctx context.Context, room string, f gateway.Farewell) (gateway.Reach, error)
	DisconnectSubject(ctx context.Context, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	Unsubscribe(ctx context.Context, id, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	UnsubscribeSubject(ctx context.Context, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	Subscribe(ctx context.Context, id, subject, room string, p gateway.Placement) (gateway.Reach, error)
	SubscribeSubject(ctx context.Context, subject, room string, p gateway.Placement) (gateway.Reach, error)
	Refresh(ctx context.Context, id, subject string, expires int64) (gateway.Reach, error)
	RefreshSubject(ctx context.Context, subject string, expires int64) (gateway.Reach, error)
	Subscriptions() int
	Users(ctx context.Context, room string) (n int, err error)
	UsersByNode(ctx context.Context) (map[string]int, error)
	Attendees(ctx context.Context, room string) ([]gateway.Attendee, error)
	Clients(room string) int
	Channels(pattern string, limit int) (clients map[string]int, isWhole bool)
	Nodes() []hub.NodeInfo
	Allows(p *gateway.Principal, room string, want gateway.Permission) bool
	Open() int
	MaxMessage() int64
}

// askFor is how long loops have to answer.
const askFor = 5 * time.Second
