package sdktest

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Options say what a client is to be like.
type Options struct {
	URL    string   `json:"url"`    // of the endpoint, ws://…/connection/websocket
	Tokens []string `json:"tokens"` // of the connection, one for each time that the SDK asks; the last one again and again
}

// An SDK is one client of one of them. Its methods may be called from any goroutine, but for Close,
// which comes last.
type SDK interface {
	Connect()
	Disconnect()
	Subscribe(room string, tokens ...string) // tokens as those of Options
	Unsubscribe(room string)
	Publish(room string, data json.RawMessage) error
	History(room string, ask Ask) (History, error)
	Presence(room string) ([]Info, error)
	PresenceStats(room string) (Stats, error)
	RPC(method string) error
	Events() *Record
	Close()
}

// Ask is what is asked for of a history.
type Ask struct {
	Limit   int       `json:"limit"`
	Since   *Position `json:"since,omitempty"`
	Reverse bool      `json:"reverse"`
}

// History is the answer.
type History struct {
	Publications []Publication `json:"publications"`
	Position
}

// A Position is a place in a room's stream.
type Position struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

// A Publication is one message, as an SDK hands it out.
type Publication struct {
	Offset uint64            `json:"offset"` // 0: the room has no history
	Data   json.RawMessage   `json:"data"`
	Tags   map[string]string `json:"tags"`
	Info   *Info             `json:"info"` // nil: it is from no client
}

// Info says who somebody is.
type Info struct {
	Client   string          `json:"client"`
	User     string          `json:"user"`
	ConnInfo json.RawMessage `json:"connInfo"`
}

// Stats count who is in a room.
type Stats struct {
	Clients int `json:"numClients"`
	Users   int `json:"numUsers"`
}

// A Refusal is an error of the protocol, with its code.
type Refusal struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s", r.Code, r.Message) }

// A Kind of SDK has a name and makes clients, which are closed with the test.
type Kind struct {
	Name string
	Open func(testing.TB, Options) SDK
}

// OfGo need nothing but this module, and RunChild in the test's TestMain.
var OfGo = []Kind{
	{"go", func(t testing.TB, o Options) SDK { return OpenChild(t, o, false) }},
	{"go-protobuf", func(t testing.TB, o Options) SDK { return OpenChild(t, o, true) }},
}

// OfNPM need node and Chromium.
var OfNPM = []Kind{{"node", openNode}, {"chromium", openChromium}}
