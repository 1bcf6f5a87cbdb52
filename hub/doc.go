// Package hub fans messages out: one log per room, one cursor per member. It knows neither descriptors nor frames: a
// message is the bytes that go on the wire, encoded once by whoever publishes it, for each [Track] that members read.
//
// Publishing appends to the room's log and marks every loop that has members there who can take it. A loop's [Fanout] sweeps the marked
// rooms at the end of its tick and lets each member write everything between its cursor and the tail at once. A member
// whose write the kernel refuses keeps its cursor and is left alone until its client takes bytes again; nothing is queued for
// it. When the log drops what such a member still needs, it is overtaken, and its room's [Policy] says what becomes of it.
//
// Appending costs a thousandth of delivering, so a room has a brake: [Room.IsFull] tells publishers to wait while a loop's
// sweep, or most of the members that keep taking bytes, are more than the publish window behind. A stalled or slow
// minority holds nobody; it has the backlog to catch up in.
//
// What is locked: the directory (Hub.mu) and each room's log and lists (Room.mu), for the time of a copy. What is read
// without a lock: the log's published bytes. What belongs to one loop: members, cursors, sweeps. [Limits] bound it all.
package hub
