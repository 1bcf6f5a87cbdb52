package gateway

import "time"

// A token says by the wall clock when it expires, and nothing else here goes by that clock. A
// connection ends when the wall clock says so, which counts while the process or the machine stood
// still, too, and at the latest when as much time has passed as the token had left: a clock that is
// set back prolongs nothing.

// wallClock is the time since 1970 by the wall clock, in milliseconds.
func wallClock() int64 { return time.Now().UnixMilli() }
