package gateway

import (
	"fmt"
	"strings"

	"sluice/wsproto"
)

// subscriberPath is where the Centrifuge client protocol is spoken: many rooms on one connection.
const subscriberPath = "/connection/websocket"

const lobby = "lobby"

// A hearing is how who asks for a room's path wants to hear it.
type hearing uint8

const (
	notAtAll   hearing = iota // it is no room's path
	bySocket                  // /ws/{room}
	byEvents                  // /sse/{room}
	byProtocol                // /connection/websocket: whatever rooms it asks for
)

// roomOf tells which room a decoded path names, if it names one at all: /ws and /sse are the lobby.
// One slash more at the end changes nothing, because many clients and proxies put one there.
func roomOf(path string) (room string, by hearing) {
	if path == subscriberPath {
		return "", byProtocol
	}
	room, isSocket := strings.CutPrefix(path, "/ws")
	by = bySocket
	if !isSocket {
		var isEvents bool
		if room, isEvents = strings.CutPrefix(path, "/sse"); !isEvents {
			return "", notAtAll
		}
		by = byEvents
	}
	switch {
	case room == "" || room == "/":
		return lobby, by
	case room[0] != '/':
		return "", notAtAll
	}
	if room = room[1:]; len(room) > 1 {
		room = strings.TrimSuffix(room, "/")
	}
	return room, by
}

// withoutPrefix takes Options.PathPrefix off a path, and reports whether it was there.
func (c *config) withoutPrefix(path string) (rest string, isThere bool) {
	rest, isThere = strings.CutPrefix(path, c.PathPrefix)
	if isThere && (rest == "" || rest[0] == '/' || c.PathPrefix == "") {
		return rest, true
	}
	return path, false
}

// prefixFault says why no paths can begin with a prefix.
func prefixFault(prefix string) string {
	switch {
	case prefix == "":
		return ""
	case prefix[0] != '/' || prefix[len(prefix)-1] == '/':
		return "does not begin with a slash, or ends with one: write /chat"
	}
	for part := range strings.SplitSeq(prefix[1:], "/") {
		if !isRoomName(part) {
			return "has a part that is empty or has anything but A-Z a-z 0-9 _ . : ~ -"
		}
	}
	return ""
}

var refusedRoomName = explain(wsproto.ReasonRoomName, fmt.Sprintf(
	"This is not a room name: a room is /ws/ and 1 to %d of A-Z a-z 0-9 _ . : ~ - and not . or .. alone; behind /sse/ likewise.", roomNameMax))
