// Package wsproto turns bytes into WebSocket messages and messages into bytes (RFC 6455),
// compressed or not (RFC 7692).
//
// It owns the wire format: the request head and the upgrade (Request, Refusal), frames in
// (Decoder), frames out (AppendFrame and its kin), close codes (Code, ParseClose). It refuses to do
// anything else: no sockets, no clocks, no goroutines, no logging. Deadlines, rates and what to do
// with a message belong to the caller.
//
// # Rules of use
//
// A value belongs to one goroutine at a time; nothing here locks. What is returned aliases what was
// passed in or a buffer of the value, and says for how long. In the steady state nothing allocates:
// a Request is reused for every connection of a loop, a Decoder allocates only for what arrives in
// pieces or compressed, and the Append functions append to the caller's slice.
//
// A server's connection goes through it like this:
//
//	bytes ──HeadEnd──▶ head ──Parse──▶ route by Path ──CheckUpgrade, CheckDeflate──┐
//	             │                                      AppendSwitchingProtocols ◀─┘
//	             └──▶ the rest ──Decoder.Next──▶ Message … Message, Violation ──CloseCode──┐
//	                                                                bytes ◀──AppendClose ◀─┘
//
// The input is hostile. Every violation of the RFC has one name (a Reason before the upgrade, a
// Violation after it) and one consequence (an HTTP status, a close code), and no input panics.
package wsproto
