//go:build linux

package simclient

import "sluice/hub"

// A Subscription is a Subscriber's place in one room, from one answer to the next.
type Subscription struct {
	Socket       *Socket
	Room         int
	IsRecovering bool         // it asked to go on …
	Since        hub.Position // … behind this one, which may be none
	At           hub.Position // of the last message; without an epoch they have none

	Asked int   // step at which it asked
	Said  []int // by client: how many messages it had sent when it asked, if it is this one's own …
	Heard []int // … and when it was answered
}

// A presence is what a connection knows of itself in a room.
type presence struct {
	now     *Subscription // nil: it is not there
	will    bool          // it is there when all that it has asked for is done
	pending int           // commands to subscribe and unsubscribe that are not answered
	voice   *Client       // what it has said there; nil: nothing
	unheard int           // … of which so many are not acknowledged
}

// newVoice is who says what a connection publishes in a room: one for each, because what is under
// way when a connection ends may be lost.
func (w *World) newVoice(room int) *Client {
	v := &Client{w: w, No: len(w.Clients), Room: room, Kind: voice, lastPing: -1, IsUpgraded: true}
	w.Clients = append(w.Clients, v)
	for _, c := range w.Clients {
		for len(c.Seen) < len(w.Clients) {
			c.Seen, c.Floor = append(c.Seen, -1), append(c.Floor, 0)
		}
	}
	return v
}

// IsVoice says that c is what a subscriber says in one room over one connection.
func (c *Client) IsVoice() bool { return c.Kind == voice }
