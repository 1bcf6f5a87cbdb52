package sdktest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/testenv"
)

// An Event is what an SDK has told its user.
type Event struct {
	Kind   string `json:"kind"` // connected, subscribed, publication, …; "server subscribed" and its like for what nobody asked for
	Room   string `json:"room"`
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
	Client string `json:"client"` // of connected

	Recoverable   bool      `json:"recoverable"`
	WasRecovering bool      `json:"wasRecovering"`
	Recovered     bool      `json:"recovered"`
	Position      *Position `json:"position"` // of subscribed

	Publication // Info is that of join and leave, too
}

func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Kind, e.Room)
	switch {
	case strings.HasSuffix(e.Kind, "publication"):
		fmt.Fprintf(&b, " %d %.60s", e.Offset, e.Data)
	case strings.HasSuffix(e.Kind, "subscribed") && e.Position != nil:
		fmt.Fprintf(&b, " at %+v, was recovering %t, recovered %t", *e.Position, e.WasRecovering, e.Recovered)
	}
	if e.Code != 0 || e.Reason != "" {
		fmt.Fprintf(&b, " (%d %s)", e.Code, e.Reason)
	}
	return b.String()
}

// A Record is all events of one client, in order.
type Record struct {
	mu     sync.Mutex
	events []Event
	more   chan struct{} // closed with each event, and made anew
}

func newRecord() *Record { return &Record{more: make(chan struct{})} }

func (r *Record) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.more)
	r.more = make(chan struct{})
}

// All are the events until now.
func (r *Record) All() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// last are the events that a failure tells of, behind the number of those before them.
func (r *Record) last() string {
	all := r.All()
	n := min(len(all), 12)
	return fmt.Sprintf("%d, then %v", len(all)-n, all[len(all)-n:])
}

func (e *Event) is(kind, room string) bool { return e.Kind == kind && (room == "" || e.Room == room) }

// Of are those of a kind, in a room, or in any if that is empty.
func (r *Record) Of(kind, room string) (of []Event) {
	for _, e := range r.All() {
		if e.is(kind, room) {
			of = append(of, e)
		}
	}
	return of
}

// Count is how many those are.
func (r *Record) Count(kind, room string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.events {
		if r.events[i].is(kind, room) {
			n++
		}
	}
	return n
}

// Wait waits until is holds, which it asks after each event, or until also is closed. It returns an
// error, with the last events, if neither came within a test's patience.
func (r *Record) Wait(what string, is func() bool, also <-chan struct{}) error {
	late := time.NewTimer(testenv.Patience)
	defer late.Stop()
	for {
		r.mu.Lock()
		more := r.more
		r.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-more:
		case <-also:
			return nil
		case <-late.C:
			return fmt.Errorf("not within %v: %s; its last events: %v", testenv.Patience, what, r.last())
		}
	}
}

// Expect waits for the nth event of a kind in a room, from 1 on, and returns it. The test fails
// without.
func (r *Record) Expect(t interface {
	Helper()
	Fatal(...any)
}, kind, room string, n int,
) (e Event) {
	t.Helper()
	err := r.Wait(fmt.Sprintf("%d times %s %s", n, kind, room), func() bool { return r.Count(kind, room) >= n }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Of(kind, room)[n-1]
}
