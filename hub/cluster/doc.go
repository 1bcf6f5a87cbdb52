// Package cluster gives rooms one order that several gateways share: that of a JetStream stream. It
// knows no NATS but behind a [Broker], and no gateway but behind [Rooms].
//
// There is no home node, no lease and no election of ours. A message is published into the stream,
// and every gateway, its publisher's included, appends to its rooms only what comes out of it. Live
// messages come as the stream republishes them, at most once; each names its predecessor in its room,
// so what is missing is seen by the next one and fetched before anybody gets that. A lost last message
// has no next one: rooms' last messages are asked for at times and whenever some may be lost.
//
// What a publisher sends while its gateway's last pack of the room is not acknowledged goes into
// the next pack. One pack in flight keeps each publisher's order through changes of leader, makes
// batches under load, and bounds memory.
//
// An offset is the stream's sequence × 1024 + the message's index in its pack: it grows and jumps. An
// epoch is one for all rooms. It changes when the stream cannot be what it was, and everybody is told.
package cluster
