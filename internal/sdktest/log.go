package sdktest

import (
	"fmt"
	"sync"
)

// A Log has everything that was published in rooms that keep a history, whatever a gateway still
// has of it: the model that clients are judged by.
type Log struct {
	mu    sync.Mutex
	rooms map[string][]published
}

type published struct {
	at   Position
	data string
}

// Add adds what was published next in a room, with the position that its publisher was told.
func (l *Log) Add(room string, at Position, data string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rooms == nil {
		l.rooms = map[string][]published{}
	}
	l.rooms[room] = append(l.rooms[room], published{at, data})
}

// last is what was published last in a room.
func (l *Log) last(room string) (p published, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all := l.rooms[room]; len(all) > 0 {
		return all[len(all)-1], true
	}
	return published{}, false
}

// at is what was published at a position of a room.
func (l *Log) at(room string, at Position) (data string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.rooms[room] {
		if p.at == at {
			return p.data, true
		}
	}
	return "", false
}

// HasLast reports whether a client has the last message of a room, or has it behind it, having been
// told that it missed some.
func (l *Log) HasLast(r *Record, room string) bool {
	last, ok := l.last(room)
	if !ok {
		return true
	}
	all := r.All()
	for i := len(all) - 1; i >= 0; i-- {
		switch e := &all[i]; {
		case e.Room != room:
		case e.Kind == "publication":
			return e.Offset == last.at.Offset && string(e.Data) == last.data
		case e.Kind == "subscribed":
			if e.Position != nil && *e.Position == last.at {
				return true
			}
			if !e.Recovered {
				return false
			}
		}
	}
	return false
}

// Judge holds what a client was given of a room to what was published there: each message once, in
// order, at its offset, from where its first subscription began; and all of it, but where the
// client was told that it could not be recovered, which is counted. A client judged has HasLast.
func (l *Log) Judge(r *Record, room string) (gaps int, err error) {
	var at Position // behind which everything is still to come
	isSubscribed := false
	for i, e := range r.All() {
		if e.Room != room {
			continue
		}
		switch e.Kind {
		case "subscribing", "unsubscribed":
			isSubscribed = false
		case "subscribed":
			isSubscribed = true
			switch {
			case e.Position == nil:
				return gaps, fmt.Errorf("event %d: %v: without a position", i, e)
			case !e.Recoverable:
				return gaps, fmt.Errorf("event %d: %v: not recoverable", i, e)
			case e.Recovered && at == Position{}:
				return gaps, fmt.Errorf("event %d: %v: recovered what it never had", i, e)
			case e.Recovered && *e.Position != at:
				return gaps, fmt.Errorf("event %d: %v: recovered from there, but the client stood at %v", i, e, at)
			case e.WasRecovering && !e.Recovered:
				gaps++
			case e.WasRecovering != (at != Position{}):
				return gaps, fmt.Errorf("event %d: %v: the client stood at %v", i, e, at)
			}
			at = *e.Position
		case "publication":
			next := Position{at.Offset + 1, at.Epoch}
			data, ok := l.at(room, next)
			switch {
			case !isSubscribed:
				return gaps, fmt.Errorf("event %d: %v: while not subscribed", i, e)
			case e.Offset != next.Offset:
				return gaps, fmt.Errorf("event %d: %v: not the one behind %v", i, e, at)
			case !ok || data != string(e.Data):
				return gaps, fmt.Errorf("event %d: %v: published was %.60q (%t)", i, e, data, ok)
			}
			at = next
		}
	}
	if last, ok := l.last(room); ok && at != last.at {
		return gaps, fmt.Errorf("the client stands at %v in %s, the last message at %v", at, room, last.at)
	}
	return gaps, nil
}
