// Package reactortest has two kernels for tests. Whatever takes a reactor.Kernel takes either.
//
// A [Kernel] is the real one with a script of faults and a clock that a test moves: sockets,
// pollers and bytes stay real, and what is scripted is the answer that a call gets. A Sim (Linux
// only) is a kernel in memory in which whole gateways run on one thread of control, from a seed.
//
// # Scripts: refusals and edges
//
// A script refuses what the real socket would have taken. Somebody edge-triggered then waits for an
// edge that the real kernel has no reason to send. Rearming helps by itself, because it looks at
// the readiness anew; but a source that is armed already, or reads on "until EAGAIN", makes no
// call. So whenever a script answers EAGAIN or cuts a read or write short, the Kernel registers the
// descriptor once more with what it was registered for last, in place of the event that a full
// buffer's draining, or bytes' arrival, would have brought. If the source was not armed for the
// direction, nothing comes of it; if it rearms in the same turn, both fold into one event; at worst
// an event is spurious, which a hint may be. Oneshot registrations are left alone: that would
// revive one that has fired, and their users rearm anyway.
//
// # The simulated kernel
//
// Sim is meaner than Linux but keeps to what its manual pages allow, and to the contract of
// reactor.Poller:
//
//   - A connection is two flows of bytes. Each has a buffer at its sender and one at its receiver,
//     both as small as the test wants; bytes, the end of the stream and a reset move from one to
//     the other when Step says so. So a stream may stop at every offset, and reads and writes are
//     short or refused there; what a short read leaves is an edge of its own. What has arrived
//     stays in its sender's buffer until it is acknowledged, some steps later, read or not; and
//     where little may be unsent an edge for room comes only when half of that has gone. Room in a
//     send buffer may shrink for a while, as under memory pressure; a write that this cuts short
//     is owed an edge when the room comes back. A reset
//     passes the bytes that have not arrived, and never those that have.
//   - Epoll instances report edges, levels and oneshots as epoll(7) has them: an edge is a wakeup
//     (bytes came, room that a refused write or a poll had asked for came, a stream ended), edges
//     of one descriptor merge, the mask is looked up when it is reported, and EPOLL_CTL_MOD looks
//     at the readiness anew. Beyond that they report in any order, late (at most a few waits),
//     spuriously (readable or writable, never hangups or errors), and once more, soon, for a
//     registration that was removed: "events already fetched may still carry its token".
//   - Descriptors are the lowest free number, so a number that was closed comes back at once. There
//     may be few of them.
//   - Calls are interrupted (EINTR), and fail for want of memory or descriptors (EMFILE, ENFILE,
//     ENOMEM, ENOBUFS, ENOSPC) or because a queued connection is broken (ECONNABORTED, EPROTO).
//     Connections that such a fault may end are marked.
//   - A ring's batch is refused as a whole, for the moment or for good, or begun in part; its sends
//     fail and are cut short as writes are, and end in any order. One may end after the call, which
//     no gateway's kernel should do: its bytes are watched until then.
//   - Time stands still but for Advance and for what calls are said to cost.
//
// Calls that nobody should make are collected and returned by Err: on a descriptor that is not
// open, or is of the wrong kind, or belongs to another poller than the one whose loop runs, a
// second close, and the close of a descriptor that is still registered.
//
// A test with several loops on one Sim makes each a coroutine (iter.Pull) and gives Sim two hooks:
// OnSleep, called when a wait has nothing to report, and OnCall, called before and after calls that
// a preemption may follow. Both hand control to the next one. So loops interleave between any two
// system calls, and the same seed always gives the same run: Digest tells two runs apart, Trace
// shows the last calls.
//
// TestCalibration holds Sim, with its faults off, to the answers that the real kernel gives to the
// same sequences of calls. The simulation of whole gateways is in package gateway (TestSimulation):
//
//	go test ./gateway -run TestSimulation                     # the default number of seeds
//	go test ./gateway -run TestSimulation -sim.seeds 20000
//	go test ./gateway -run TestSimulation -sim.seed 1234 -v   # one, with its last calls
package reactortest
