// Package reactor waits for many descriptors at once and tells their owners what each is ready for:
// readiness, not completion, after the model of mio. It knows descriptors and nothing of what flows
// through them.
//
// A [Poller] is one epoll or kqueue instance. A [Token] names a source in the events it reports; a
// [Slab] issues tokens and recognises stale ones; a [Wheel] keeps timeouts; a [Loop] puts them
// together: one goroutine that owns everything its sources hold, so that nothing is locked. One
// pass of it is a tick:
//
//	wait ──▶ events ──▶ requeued ──▶ mailbox ──▶ timers ──▶ hooks ──▶ close
//	 ▲       readable,   budget       Post         due       flush     descriptors,
//	 │       writable    ended                                         last of all
//	 └────────────────── no wait while any of them left work ─────────────────┘
//
// # Rules of edge-triggered sources
//
// An edge is reported once (epoll(7), "Questions and answers"). So a source that gets a readable
// event reads until EAGAIN, or until a read brings less than it asked for, if the event told of no
// hangup. One whose write is refused keeps what was refused and asks for Writable with
// [Loop.Rearm], which looks at the readiness anew and so loses no edge. A source that stops
// earlier, because its turn's budget is spent, calls [Loop.Requeue], because no new edge will come.
// Seen EAGAIN: rearm. Budget spent: requeue. Never neither.
//
// # Ownership
//
// A registered descriptor belongs to the loop, which closes it in the last phase of the tick that
// asked for it; so its number cannot be reused while the tick still holds events for it. Events for
// what is gone are dropped and counted. Other goroutines reach a loop by [Loop.Post], which is
// bounded, [Loop.Wake] and [Loop.Stop].
package reactor
