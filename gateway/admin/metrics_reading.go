package admin

import "sluice/gateway"

// A reading is what one scrape has asked for.
type reading struct {
	gateway.Stats
	gateway.State
	version     string
	dropped     uint64 // lines of the log
	isReady     bool
	cluster     ClusterFigures
	hasAnswered bool // all loops have; if not, the figures are zero
}
