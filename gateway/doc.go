// Package gateway is a WebSocket fan-out server to put into a program: what one client of a room
// sends, every client of the room receives, and whoever reads it as server-sent events.
//
// A Server owns listeners, one event loop per core, and the hub that all loops share. Sockets live
// on the loops without a goroutine each, and readers of events too; other requests are answered by
// net/http beside them. What becomes of a connection is decided in one place for each: admission
// and the request head, incoming frames, outgoing bytes, its deadlines, its end.
//
// It reads no flags and no environment, writes to no file and sets no process-wide limit: that is
// the program's, cmd/gateway for one.
package gateway
