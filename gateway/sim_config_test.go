//go:build linux

package gateway

// configOf is the plan's configuration of the gateway: everything is tiny.
func configOf(p *plan) *config {
	cfg := testConfig()
	cfg.Loops = p.loops
	cfg.MaxConnections = p.connections
	cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = int64(p.message), int64(p.backlog), int64(p.window)
	cfg.readBudget, cfg.writeBudget = p.read, p.write
	cfg.PingInterval, cfg.PongTimeout, cfg.StallTimeout, cfg.SkipTimeout = p.ping, p.pong, p.stall, p.stall
	cfg.CloseTimeout, cfg.HandshakeTimeout = p.shut, p.handshake
	cfg.SlowPolicy, cfg.NoCompression, cfg.CompressMin = p.policy, !p.compress, int64(p.compressMin)
	limit(cfg, &p.limits)
	return cfg
}

// limit sets a plan's limits.
func limit(cfg *config, l *simLimits) {
	cfg.FrameRate, cfg.PingRate, cfg.MessageRate, cfg.ByteRate = l.rates[simFrames], l.rates[simPings], l.rates[simMessages], int64(l.rates[simBytes])
	cfg.overTime = l.over
	cfg.inflaterSize = 1
	if l.isCostly {
		cfg.costlyTurn, cfg.costlyWork = -1, -1
	}
	for _, m := range []struct {
		size *int64
		tiny int
	}{{&cfg.AssemblyMemory, l.assembly}, {&cfg.PinnedMemory, l.pinned}, {&cfg.BacklogMemory, l.backlog}} {
		if m.tiny > 0 {
			*m.size = int64(m.tiny)
		}
	}
}
