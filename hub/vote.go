package hub

import "time"

// A vote is what the brake goes by of a member beside its place in the log. One that was never
// asked about, and has published nothing, has none.
//
// A blocked member votes on credit. Each byte that its client takes buys it 1/MinRate seconds: a
// client that reads that fast, in steps of any size, always has some left, and one that takes a
// byte a second holds nobody. What was taken is asked of the kernel, because a socket says that it
// has room again only when half of what may be unsent has gone, which takes a steady reader longer
// than a second:
//
//	taken = queued when last asked + written since − queued now
type vote struct {
	half int64    // which half of a publish window said[0] is of, counted from the track's beginning
	said [2]int64 // bytes of its track that the member published, in that half and in the one before

	beyond time.Duration // since when it is further behind than half of the backlog; zero: it is not

	until        time.Duration // blocked, it votes until then
	asked        time.Duration // when the kernel was asked last
	moved        time.Duration // when it said last that the client had taken some, or could not exclude it
	queued       int64         // what it said then
	written      int64         // what it was given since
	isCatchingUp bool          // it began behind the tail, or was held, and has not come there: it has none
	isAsked      bool          // since the member was refused: there is something to compare with
}

// refused begins the vote of a member that has become blocked. What it bought before it keeps.
func (v *vote) refused() { v.isAsked = false }
