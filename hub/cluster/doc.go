// Package cluster gives rooms one order that several gateways share: that of a JetStream stream. It
// knows no NATS but behind a [Broker], and no gateway but behind [Rooms].
//
// There is no home node, no lease and no election of ours. A message is published into the stream,
// and every gateway, its publisher's included, appends to its rooms only what comes out of it. Live
// messages come as the stream republishes them, at most once; each names its predecessor in its
// room, so what is missing is seen by the next one and fetched before anybody gets that. A lost
// last message has no next one: rooms' last messages are asked for at times and whenever some may
// be lost.
//
// What a publisher sends while its gateway's last pack of the room is not acknowledged goes into
// the next pack, and what one of its loops reads in a tick goes out at the tick's end, together.
// One pack in flight keeps each publisher's order through changes of leader, makes batches under
// load, and bounds memory.
//
// An offset is the stream's sequence × 1024 + the message's index in its pack: it grows and jumps.
// An epoch is one for all rooms. It changes when the stream cannot be what it was, and everybody is
// told.
//
// # Files
//
//	broker.go, rooms.go     what a node needs of JetStream, which natsbroker has, and of its gateway
//	pack.go                 messages as they stand in the stream
//	node.go, run.go         a node's state; its beginning, its goroutine, its end
//	task.go, begin.go       requests that wait, carried out elsewhere; of which rooms
//	publisher.go            what publishers hand over, by publish.go
//	sending.go, unsure.go   packs in flight, publishers that are held; what may be stored or not
//	doors.go, open.go       which rooms are open, to anybody; opening and closing them
//	room.go, follow.go      a room; what each message says of its predecessor
//	queue.go                rooms that something is to be asked for
//	filling.go, opening.go  filling a room; repair.go: closing a hole
//	check.go                asking where rooms end
//	recent.go               what of the stream nothing can have been dropped of
//	promise.go, quarters.go whether the stream keeps what rooms' histories promise
//	trust.go, audit.go      whether the stream is what it was: epochs; claim.go: what others know
//	purge.go                removing what the stream keeps of a room
//	status.go, stats.go     where a node stands, and what it has counted; outages
//
// # Considered and left
//
// Core NATS alone has no common order, even on one server. Republished messages alone are lost at
// changes of leader, without an error. A consumer for each room costs the server five times as
// much, and one with a filter for each times out at 10,000 of them. Compare-and-set numbering and a
// home node for each room were tried: 90 ms at the 99th percentile, and one hop more. With several
// packs in flight a publisher's own order breaks at a change of leader.
package cluster
