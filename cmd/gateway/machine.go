package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"sluice/gateway"
	"sluice/reactor"
)

// raiseProcs gives the other goroutines, and the collector, processors beside the loops: a busy
// loop keeps the one it has, and with no more of them than loops any other goroutine ran 18 ms
// late. An operator's GOMAXPROCS stands.
func raiseProcs(loops int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + loops)
	}
}

// garbagePercent is how much garbage may lie beside what lives before it is collected. Go's 100
// would let memory be twice the sum of the limits; what lives here is mostly bytes that the
// collector need not look into.
const garbagePercent = 40

// keepLessGarbage sets it. An operator's GOGC stands.
func keepLessGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// A gateway that could hold fewer than connectionsLeast for want of descriptors is of no use to
// anybody and says so at the start, not by refusing clients; below connectionsFew it warns.
const (
	connectionsLeast = 16
	connectionsFew   = 1000
	moreDescriptors  = "raise it with ulimit -n or LimitNOFILE"
)

// fitDescriptors lowers --max-connections to what the descriptor limit allows, which the admin
// listeners take some of.
func fitDescriptors(opts *gateway.Options, admin int, log *slog.Logger) error {
	limit, err := reactor.DescriptorLimit()
	if err != nil {
		log.Warn("cannot read the descriptor limit", "error", err)
		return nil
	}
	room := roomIn(int(min(limit, 1<<30))-admin, opts)
	if opts.MaxConnections <= room {
		return nil
	}
	if room < min(connectionsLeast, opts.MaxConnections) {
		return fmt.Errorf("a limit of %d descriptors leaves room for hardly any connection (%d are for the admin listener)", limit, admin)
	}
	level := slog.LevelInfo
	if room < connectionsFew {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level,
		"lowering --max-connections to what the descriptor limit allows",
		"from", opts.MaxConnections, "to", room, "descriptors", limit, "hint", moreDescriptors)
	opts.MaxConnections = room
	return nil
}

// roomIn is how many connections fit in so many descriptors, one at least. Some are the gateway's
// own: listeners, logs, the runtime's, three for each loop. Some are kept for connections that
// change hands with net/http and have a second one for that moment; of what is left that is an
// eighth at most, because few do so at a time.
func roomIn(descriptors int, opts *gateway.Options) int {
	left := descriptors - 32 - 3*opts.Loops
	return max(1, left-min(opts.MaxHTTPConnections, left/8))
}
