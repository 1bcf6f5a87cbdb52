package admin

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"sluice/gateway"
)

// Figures tell how a gateway does. A *gateway.Server is one.
type Figures interface {
	Stats(context.Context) (gateway.Stats, error)
	State(context.Context) (gateway.State, error)
	Ready() error
	Rooms(gateway.RoomQuery) (rooms []gateway.RoomInfo, total int)
	Connections(context.Context, gateway.ConnQuery) (conns []gateway.ConnInfo, total int, err error)
}

// FigureOptions say what the program knows beside the gateway.
type FigureOptions struct {
	Dropped func() uint64 // lines that its log has lost; nil: none is ever lost
	Tail    *Tail         // the end of its log; nil: the live page shows none
	// Cluster tells how who gives rooms their order does; nil: the gateway is alone, and has no
	// metrics of it.
	Cluster func() ClusterFigures
}

// answerHealth says the same as the gateway's own listeners.
func answerHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok"
	if err != nil {
		text = readinessOf(err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, text+"\n") // Whoever asked may be gone.
}

// readinessOf is why a gateway is not ready, in the words of its /readyz.
func readinessOf(err error) string { return strings.TrimPrefix(err.Error(), "gateway: ") }

// ClusterFigures are those of who gives rooms their order, as a program knows them: of a node of
// package hub/cluster, its Stats under the same names.
type ClusterFigures struct {
	IsOut bool // nobody answers

	Packs, PackMessages, PackBytes uint64          // acknowledged
	AckBounds                      []time.Duration // upper ends of AckTimes' classes, of which there is one more
	AckTimes                       []uint64
	AckTime                        time.Duration // of all together
	Attempts, Repeated             uint64        // packs
	Late, GivenUp, Refused         uint64        // messages
	Waiting, InFlight              int           // packs
	WaitingBytes                   int64
	Held                           int // rooms whose publishers wait

	Rooms, Opening         int
	Appended               uint64 // messages
	Doubled, Stray         uint64 // packs
	Repairs, Repaired      uint64 // holes; packs fetched into them
	HeldDropped            uint64 // packs
	HeldBytes              int64
	Checks                 uint64
	Resets, Epochs         uint64
	Impossible             uint64 // packs
	Garbage, UnknownFormat uint64 // packs
	Outages                uint64
	Short                  uint64 // times that a room's history was cut
}
