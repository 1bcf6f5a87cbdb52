// Package hub fans messages out: one log per room, one cursor per member. It knows neither
// descriptors nor frames: a message is the bytes that go on the wire, made once for each [Encoding]
// that members read.
//
// Publishing appends to the room's log and schedules every loop that has members there that can
// take it. A loop's [Fanout] sweeps the scheduled rooms at the end of its tick: it takes the bytes
// between each member's cursor and the tail and hands them to the loop's [Transport], a batch at a
// time. The transport answers how many the kernel took, and the hub moves the cursor. A member
// whose bytes the kernel refuses keeps its cursor and is left alone until its client says that it
// takes bytes again; nothing is queued for it. When the log drops what such a member still needs,
// it is overrun, and its room's [Policy] says what becomes of it.
//
// A room can keep messages for those who come later: a [History] says how many. Live is then only
// the end of what there is: [Fanout.Join] begins anywhere in it, behind a [Position] for example,
// and answers truthfully if that is not to be had. A room that keeps messages has an epoch, which
// names its stream from beginning to end, and each message an offset in it. [Hub.Build] encodes
// what is kept for the first reader of an encoding, [Hub.Expire] sees to age and memory.
//
// Appending costs a thousandth of delivering, so a room has a brake: [Room.IsFull] tells publishers
// to wait while a loop's sweep, or most of the members that keep taking bytes, are more than the
// publish window behind. A stalled or slow minority holds nobody; it has the backlog to catch up
// in. Who is stalled the hub does not guess: it asks what the client's kernel has got rid of.
// Members ask by [Member.AwaitRoom], and those that have to wait go on in the order in which they
// asked, whichever loops they are on.
//
// # Locks
//
// In the order in which they may be taken; the last two are leaves, under which no other of these
// is; Options.OnRoom is called under Hub.mu:
//
//	Hub.building one encoding is built at a time; held meanwhile, by no loop
//	Room.mu      a room's log, its branches, the brake; held for the time of a copy
//	Hub.mu       the directory of rooms
//	backlog.mu   what all rooms retain together
//
// Read without a lock: the log's published bytes, and a room's atomics. Of one loop, and so never
// locked: members, cursors, rounds, fanouts, pins. Other loops reach a branch by a mark alone.
//
// [Limits] bound it all.
package hub
