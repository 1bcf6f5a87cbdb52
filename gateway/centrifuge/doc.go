// Package centrifuge turns bytes into the Centrifuge client protocol and back (version 2, whose
// wire types are those of github.com/centrifugal/protocol): commands of clients, replies, and the
// pushes that all subscribers of a room share. It knows nothing of sockets, rooms and loops.
//
// A frame is the payload of one WebSocket message: in JSON one or more objects with a line feed
// between them, in protobuf one or more messages, each behind its length as a varint. What clients
// call a channel is a room.
//
// All functions may be called from any goroutine.
package centrifuge
