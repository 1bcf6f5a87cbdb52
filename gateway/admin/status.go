package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"sluice/gateway"
	"sluice/wsproto"
)

const (
	// shown is how many rooms and clients the live page shows.
	shown = 20
	// statusTime is how old a status may be that is told once more: however many pages are open,
	// the loops are asked as often as for one. Where asking takes long it may be statusShare times
	// as old as that took, so that it never takes more than a small part of the time there is.
	statusTime  = 500 * time.Millisecond
	statusShare = 20
)

// A statuser makes what /status.json tells, of which the live page is made.
type statuser struct {
	figures Figures
	version string
	tail    *Tail
	now     func() time.Duration

	mu    sync.Mutex
	made  *status       // the newest one; nil: the loops did not answer
	until time.Duration // when it is too old
}

// A status is what the live page shows. Rates are for the page to make, of what grows between two.
type status struct {
	AtMS     int64             `json:"at_ms"` // since the program began
	Version  string            `json:"version"`
	Login    bool              `json:"login"`  // there is something to log out of
	Ready    string            `json:"ready"`  // "ok", or why not
	Totals   map[string]uint64 `json:"totals"` // since the start
	Now      map[string]int64  `json:"now"`
	Closes   map[string]uint64 `json:"closes"`
	Refusals map[string]uint64 `json:"refusals"`
	Loops    []statusLoop      `json:"loops"`
	Nodes    []statusNode      `json:"nodes"`   // of the cluster, this one first
	Rooms    []statusRoom      `json:"rooms"`   // the largest
	Slowest  []statusClient    `json:"slowest"` // those furthest behind
	Log      []statusLine      `json:"log"`     // the newest first
}

type statusLoop struct {
	BusyUS      int64 `json:"busy_us"`
	Connections int   `json:"connections"`
	HasRing     bool  `json:"ring"` // io_uring
}

type statusNode struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Version     string `json:"version"`
	Address     string `json:"address"`
	Connections int    `json:"connections"`
	Rooms       int    `json:"rooms"`
	SilentMS    int64  `json:"silent_ms"` // for how long nothing was heard of it
}

type statusRoom struct {
	Name     string `json:"name"`
	Members  int    `json:"members"`
	Speakers int    `json:"speakers"`
	Messages uint64 `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Kept     uint64 `json:"kept"` // messages for those who come later
	IsFull   bool   `json:"full"`
}

type statusClient struct {
	ID       string `json:"id"`
	Room     string `json:"room"`
	Address  string `json:"address"`
	Messages uint64 `json:"messages"`
	Bytes    int64  `json:"bytes"`
	TookMS   int64  `json:"took_ms"` // how long ago it took anything
	IsSlow   bool   `json:"slow"`
}

type statusLine struct {
	AgoMS int64  `json:"ago_ms"`
	Level string `json:"level"`
	Text  string `json:"text"`
}

// newest is the answer to a page that has, or has not, something to log out of.
func (s *statuser) newest(ctx context.Context, hasLogin bool) (body []byte, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if began := s.now(); s.made == nil || began >= s.until {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor) // It is for others, too.
		defer cancel()
		s.made = s.make(ctx)
		s.until = s.now() + max(statusTime, statusShare*(s.now()-began))
	}
	if s.made == nil {
		return []byte(`{"error":"the gateway's loops do not answer"}`), http.StatusServiceUnavailable
	}
	s.made.Login = hasLogin
	body, _ = json.Marshal(s.made) // Of such a type it cannot fail.
	return body, http.StatusOK
}

// make asks the gateway. It returns nil if a loop does not answer.
func (s *statuser) make(ctx context.Context) *status {
	st, err := s.figures.Stats(ctx)
	if err != nil {
		return nil
	}
	is, err := s.figures.State(ctx)
	if err != nil {
		return nil
	}
	slowest, _, err := s.figures.Connections(ctx, gateway.ConnQuery{ByLag: true, Limit: shown})
	if err != nil {
		return nil
	}
	rooms, _ := s.figures.Rooms(gateway.RoomQuery{Less: gateway.ByMembers, Limit: shown})
	made := &status{
		AtMS: s.now().Milliseconds(), Version: s.version, Ready: "ok",
		Totals: totalsOf(&st), Now: nowOf(&is), Closes: map[string]uint64{}, Refusals: map[string]uint64{},
		Loops: []statusLoop{}, Nodes: []statusNode{}, Rooms: []statusRoom{}, Slowest: []statusClient{}, Log: []statusLine{},
	}
	if err := s.figures.Ready(); err != nil {
		made.Ready = readinessOf(err)
	}
	for reason, n := range st.Closed {
		made.Closes[gateway.CloseReason(reason).String()] = n
	}
	for reason := wsproto.Reason(1); reason < wsproto.NumReasons; reason++ {
		made.Refusals[reason.String()] = st.Refusals[reason]
	}
	for _, l := range is.Loops {
		made.Loops = append(made.Loops, statusLoop{l.Busy.Microseconds(), l.Connections, l.HasRing})
	}
	for _, n := range is.Nodes {
		made.Nodes = append(made.Nodes, statusNode{n.ID, n.Name, n.Version, n.Address, n.Connections, n.Rooms, n.Silent.Milliseconds()})
	}
	for _, r := range rooms {
		made.Rooms = append(made.Rooms, statusRoom{r.Name, r.Members, r.Speakers, r.Messages, r.Memory, r.Kept, r.IsFull})
	}
	for _, c := range slowest {
		if c.Lag.Bytes > 0 {
			made.Slowest = append(made.Slowest, statusClient{
				c.ID, roomsOf(&c), c.Address, c.Lag.Messages, c.Lag.Bytes, c.Untaken.Milliseconds(), c.IsSlow,
			})
		}
	}
	if s.tail != nil {
		for _, l := range s.tail.lines() {
			made.Log = append(made.Log, statusLine{(s.tail.clock.now() - l.at).Milliseconds(), l.level.String(), l.text})
		}
	}
	return made
}

// roomsOf names a client's room; of several that in which it is furthest behind.
func roomsOf(c *gateway.ConnInfo) string {
	switch {
	case len(c.Rooms) == 0:
		return c.Room
	case c.Subscriptions == 1:
		return c.Rooms[0].Room
	}
	return fmt.Sprintf("%s and %d more", c.Rooms[0].Room, c.Subscriptions-1)
}

func totalsOf(st *gateway.Stats) map[string]uint64 {
	return map[string]uint64{
		"received":       st.Messages,
		"received_bytes": st.Received,
		"delivered":      st.Deliveries,
		"sent_bytes":     st.Bytes + st.OwnBytes,
		"writes":         st.Writes,
		"writes_refused": st.Refused,
		"owed":           st.Hub.Owed,
		"skipped":        st.Hub.Skipped,
		"ended_early":    st.Hub.Ended,
		"handshakes":     st.Upgrades,
		"overrun":        sum(st.Hub.Overrun[:]),
		"panics":         st.Panics,
	}
}

func sum(all []uint64) (n uint64) {
	for _, one := range all {
		n += one
	}
	return n
}

func nowOf(is *gateway.State) map[string]int64 {
	return map[string]int64{
		"connections":  int64(is.Connections),
		"rooms":        int64(is.Rooms),
		"members":      int64(is.Members),
		"blocked":      int64(is.Blocked),
		"slow":         int64(is.Slow),
		"held":         int64(is.HeldByRoom + is.HeldByRate),
		"memory":       is.RoomLogs,
		"memory_limit": is.RoomLogsMax,
		"memory_step":  int64(is.MemoryStep),
	}
}
