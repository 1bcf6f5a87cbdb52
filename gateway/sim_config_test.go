//go:build linux

package gateway

import "sluice/gateway/internal/simclient"

// configOf is the plan's configuration of the gateway: everything is tiny.
func configOf(p *simclient.Plan) *config {
	cfg := testConfig()
	cfg.Loops = p.Loops
	cfg.MaxConnections = p.Connections
	if cfg.Flush = FlushPlain; p.HasRing {
		cfg.Flush, cfg.ringsAll = FlushRing, p.RingsAll
	}
	cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = int64(p.Message), int64(p.Backlog), int64(p.Window)
	cfg.homeMax = p.HomeMax
	cfg.MinReadRate = int64(p.MinRate)
	cfg.readBudget, cfg.writeBudget = p.Read, p.Write
	if cfg.longWriteBudget = 1; p.Write%2 == 0 { // Otherwise there are no long turns.
		cfg.longWriteBudget = 4 * p.Write
	}
	cfg.PingInterval, cfg.PongTimeout, cfg.StallTimeout, cfg.SkipTimeout = p.Ping, p.Pong, p.Stall, p.Stall
	cfg.CloseTimeout, cfg.HandshakeTimeout = p.Shut, p.Handshake
	cfg.SlowPolicy, cfg.NoCompression, cfg.CompressMin = p.Policy, !p.Compress, int64(p.CompressMin)
	if p.KeepsAttendance {
		cfg.Rooms = []RoomRule{{Pattern: "*", Presence: true}}
	}
	if p.HasTokens {
		cfg.Anonymous, cfg.expiryGrace = everywhere, simGrace
	}
	limit(cfg, &p.Limits)
	keep(cfg, &p.History)
	return cfg
}

// keep makes a plan's rooms keep messages.
func keep(cfg *config, h *simclient.History) {
	for no := range h.Rooms {
		cfg.History = append(cfg.History, HistoryRule{
			Pattern: simclient.RoomName(no), Messages: h.Messages, Bytes: int64(h.Bytes), Age: h.Age,
		})
	}
	if h.Rooms > 0 {
		cfg.HistoryMemory = int64(h.Memory)
	}
}

// limit sets a plan's limits.
func limit(cfg *config, l *simclient.Limits) {
	cfg.FrameRate, cfg.PingRate, cfg.MessageRate, cfg.ByteRate = l.Rates[simclient.Frames], l.Rates[simclient.Pings], l.Rates[simclient.Messages], int64(l.Rates[simclient.Bytes])
	cfg.overTime = l.Over
	cfg.inflaterSize = 1
	if l.IsCostly {
		cfg.costlyTurn, cfg.costlyWork = -1, -1
	}
	for _, m := range []struct {
		size *int64
		tiny int
	}{{&cfg.AssemblyMemory, l.Assembly}, {&cfg.PinnedMemory, l.Pinned}, {&cfg.BacklogMemory, l.Backlog}} {
		if m.tiny > 0 {
			*m.size = int64(m.tiny)
		}
	}
}
