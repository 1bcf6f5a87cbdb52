package bench

import (
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/report"
)

// A cell is one load, and the servers that are measured under it.
type cell struct {
	name, about string
	figure      figure
	sides       []side // ratios are to the first one's figure
	peers       bool   // can do it, too: what is asked of the last side
}

// A side is a server of a cell, which may be asked for something else than the others.
type side struct {
	name    string // in the table
	program string // floor, gateway or a peer's name
	flags   string
	path    string
	load    load.Load
}

// A figure is what a cell compares.
type figure struct {
	unit string
	of   func(*report.Result) float64
}

var (
	perDelivery   = figure{"µs/delivery", func(r *report.Result) float64 { return r.Server.CPUPerDelivery }}
	perConnection = figure{"µs/connection", func(r *report.Result) float64 { return r.Server.CPUPerConnection }}
	idleBytes     = figure{"bytes/connection", func(r *report.Result) float64 { return r.Server.RSSPerConnection }}
)

// What most loads have in common: one room, one publisher, 64 bytes, one message on its way.
func plain(clients, messages int) load.Load {
	return load.Load{
		Clients: clients, Publishers: 1, Rooms: 1, Messages: messages, Window: 1, Warmup: 3, Size: load.FixedSize(smallSize),
		Settle: 200 * time.Millisecond, ConnectTimeout: patience, LossTimeout: patience, Drain: patience, Protocol: "plain",
	}
}

const (
	smallSize  = 64  // bytes of a message
	pushedSize = 182 // bytes of a plain one that is on the wire what one of smallSize is in the protocol's JSON

	patience = 30 * time.Second // a busy machine is no fault of a server

	rawPath      = "/ws/{room}"
	protocolPath = "/connection/websocket"
)

// cells are those of docs/benchmarks.md that one machine can measure in minutes, in the order of
// the table. The messages are as many as give a server half a second to work.
func cells() []cell {
	sixteen := plain(1000, 300)
	sixteen.Window = 16
	return []cell{
		besideFloor("100", "100 clients, 64 bytes, one message at a time", plain(100, 1000)),
		besideFloor("1000", "1,000 clients, the same", plain(1000, 120)),
		besideFloor("10000", "10,000 clients, the same", plain(10000, 15)),
		besideFloor("1000-sixteen", "1,000 clients, sixteen messages in flight", sixteen),
		inRooms("rooms-of-two", "5,000 rooms of two, a message a second in each", 10000, 5000, 5000),
		inRooms("ten-rooms", "ten rooms of two, 500 messages a second in each", 20, 10, 5000),
		inRooms("ten-busy-rooms", "ten rooms of two, 5,000 messages a second in each", 20, 10, 50000),
		stalled(),
		protocol("protocol", "the Centrifuge protocol, 1,000 clients, one publication at a time", plain(1000, 120)),
		protocol("protocol-sixteen", "the same, sixteen in flight", sixteen),
		connecting(),
		idle(),
		besideFloor("500-1MiB", "500 clients, 1 MiB, one message at a time", large(500, 1<<20, 6)),
		besideFloor("5000-64KiB", "5,000 clients, 64 KiB, one message at a time", large(5000, 64<<10, 6)),
	}
}

// besideFloor is a cell of what the floor can do.
func besideFloor(name, about string, asked load.Load) cell {
	return cell{name, about, perDelivery, []side{
		{"floor", "floor", "", rawPath, asked},
		{"gateway-1-loop", "gateway", "--loops 1", rawPath, asked},
		{"gateway", "gateway", "", rawPath, asked},
	}, true}
}

// inRooms has many rooms: what several loops cost, what the kernel does in any case, and what a
// delivery is in one room of 10,000.
func inRooms(name, about string, clients, rooms int, rate float64) cell {
	asked := plain(clients, 1)
	asked.Rooms, asked.Publishers, asked.Rate, asked.Duration = rooms, rooms, rate, 2*time.Second
	one := plain(10000, 15)
	return cell{name, about, perDelivery, []side{
		{"gateway-1-loop", "gateway", "--loops 1", rawPath, asked},
		{"floor-one-room", "floor", "", rawPath, one},
		{"gateway-one-room", "gateway", "--loops 1", rawPath, one},
		{"floor", "floor", "", rawPath, asked},
		{"gateway", "gateway", "", rawPath, asked},
	}, true}
}

// stalled has some who never read, and is held to the same load without them. The warm-up fills
// what the kernel holds for them.
func stalled() cell {
	asked := plain(1000, 1500)
	asked.Stalled, asked.Size, asked.Window, asked.Warmup = 100, load.FixedSize(1024), 8, 500
	return cell{"stalled", "100 of 1,000 clients never read, 1 KiB, eight in flight", perDelivery, []side{
		{"gateway-calm", "gateway", "--loops 1", rawPath, *asked.Calm()},
		{"gateway-1-loop", "gateway", "--loops 1", rawPath, asked},
		{"gateway", "gateway", "", rawPath, asked},
	}, true}
}

// protocol is held to plain messages that are as long on the wire.
func protocol(name, about string, asked load.Load) cell {
	raw := asked
	raw.Size, asked.Protocol = load.FixedSize(pushedSize), load.Centrifuge
	return cell{name, about, perDelivery, []side{
		{"floor-raw", "floor", "", rawPath, raw},
		{"gateway-1-loop-raw", "gateway", "--loops 1", rawPath, raw},
		{"gateway-1-loop", "gateway", "--loops 1", protocolPath, asked},
	}, false}
}

// connecting sends next to nothing: opening is all.
func connecting() cell {
	asked := plain(5000, 1)
	asked.Warmup, asked.Size = 0, load.FixedSize(payload.SizeMin)
	c := besideFloor("connect", "5,000 connections are accepted and upgraded", asked)
	c.figure = perConnection
	c.sides = c.sides[:2]
	return c
}

// idle has nobody say anything for a while.
func idle() cell {
	asked := plain(10000, 1)
	asked.Warmup, asked.Settle = 0, 3*time.Second
	c := besideFloor("idle", "10,000 connections that have been idle for three seconds: resident memory", asked)
	c.figure = idleBytes
	c.sides = c.sides[:2] // Loops are no part of it.
	return c
}

func large(clients, bytes, messages int) load.Load {
	asked := plain(clients, messages)
	asked.Size, asked.Warmup, asked.Binary = load.FixedSize(bytes), 1, true
	return asked
}

// shrink makes a load a matter of a moment, to see that everything works. Its figures mean nothing.
func shrink(l *load.Load) {
	if perRoom := l.Clients / l.Rooms; l.Rooms > 1 {
		l.Rooms = max(2, l.Rooms/500)
		l.Publishers, l.Clients = l.Rooms, l.Rooms*perRoom
	} else {
		l.Clients, l.Stalled = max(10, l.Clients/100), l.Stalled/50
	}
	l.Messages, l.Warmup = min(l.Messages, 20), min(l.Warmup, 2)
	l.Settle, l.Rate, l.Duration = 0, min(l.Rate/50, 100), l.Duration/10
	if n := l.Size.Largest(); n > 1<<10 {
		l.Size = load.FixedSize(n / 16)
	}
}
