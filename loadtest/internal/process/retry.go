package process

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/loadtest/internal/load"
)

// A resumer whose return is refused for the moment tries again, as SDKs do: behind a pause of which
// the longest doubles each time, and of which a random part is waited, so that not all come at
// once. A client that is refused too often has failed to come back.

const (
	pauseFirst = 500 * time.Millisecond
	pauseMax   = 20 * time.Second
	returnsMax = 8 // attempts of one return
)

// A retry is a client that comes again, and when.
type retry struct {
	c  *client
	at time.Duration
}

// isForTheMoment says whether a head refuses until later (RFC 9110 §15.6.4).
func isForTheMoment(head []byte) bool { return bytes.HasPrefix(head, []byte("HTTP/1.1 503 ")) }

// isForNow says whether a Close frame of this code asks to come back: the protocol's do below 3500
// and from 4000 to 4499, and of RFC 6455's those of a server that ends, restarts or is overloaded.
func isForNow(code uint16) bool {
	switch code {
	case 1001, 1012, 1013:
		return true
	}
	return 3000 <= code && code < 3500 || 4000 <= code && code < 4500
}

// triesAgain puts off the return of a client that was refused, and reports whether it may try
// again.
func (c *client) triesAgain(why string) bool {
	isPutOff := c.isPutOff
	c.isPutOff = false
	if !isPutOff || !c.returning || c.kind != load.KindResumer || c.refusals+1 >= returnsMax || c.w.isClosing {
		return false
	}
	longest := min(pauseMax, pauseFirst<<c.refusals)
	c.refusals++
	c.state = waiting
	c.w.crowd.Refused++
	c.w.faults.say(fmt.Sprintf("a return was refused and tried again: %s", why), 1)
	r := retry{c, c.w.process.Now() + time.Duration(rand.Int64N(int64(longest)))}
	at, _ := slices.BinarySearchFunc(c.w.later, r, func(a, b retry) int { return cmp.Compare(b.at, a.at) })
	c.w.later = slices.Insert(c.w.later, at, r)
	return true
}

// retry puts those whose pause is over to those that are to be opened, and returns how long it is
// until the next one's is.
func (w *worker) retry(now time.Duration) (sleep time.Duration) {
	for n := len(w.later); n > 0; n = len(w.later) {
		next := w.later[n-1]
		if wait := next.at - now; wait > 0 {
			return wait
		}
		w.later = w.later[:n-1]
		w.clientsToOpen = append(w.clientsToOpen, next.c)
	}
	return -1
}
