package admin

import (
	"container/list"
	"strings"
	"sync"
	"time"

	"sluice/gateway"
	"sluice/hub"
)

const (
	// repeatsFor is how long the result of a request with an Idempotency-Key is kept: longer than
	// any client goes on trying.
	repeatsFor = 2 * time.Minute
	// repeatsMax bounds how many are kept, some 20 MiB of them at most. Beyond it the oldest is
	// forgotten before its time.
	repeatsMax = 1 << 16
	// repeatKeyMax is how long a key may be.
	repeatKeyMax = 255
)

// repeats are the results of publishing under an Idempotency-Key, each for its room: who asks again
// gets the first one, and nothing is published again. Only what was published is kept: what was
// refused may be tried again.
type repeats struct {
	mu   sync.Mutex
	kept map[repeatKey]*list.Element
	ages list.List // of *repeat, the oldest in front
	max  int
}

type repeatKey struct{ room, key string }

type repeat struct {
	key   repeatKey
	until time.Duration
	once  sync.Once
	published
}

// A published is what came of publishing one message.
type published struct {
	hub.Published
	fault *fault
}

func (r *repeats) init() { r.kept, r.max = map[repeatKey]*list.Element{}, repeatsMax }

// do publishes unless that was done under the key before; an empty one is none. Of those who come
// with one key at a time, one publishes and the others wait for it.
func (r *repeats) do(room, key string, now time.Duration, publish func() published) published {
	if key == "" {
		return publish()
	}
	one := r.enter(repeatKey{room, key}, now)
	defer func() {
		if one.fault != nil {
			r.forget(one)
		}
	}()
	one.once.Do(func() {
		one.published = published{fault: faultOf(gateway.ErrFault)} // If it panics.
		one.published = publish()
	})
	return one.published
}

// enter returns what is kept under a key, made if need be.
func (r *repeats) enter(key repeatKey, now time.Duration) *repeat {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := r.ages.Front(); e != nil && e.Value.(*repeat).until <= now; e = r.ages.Front() {
		r.remove(e)
	}
	if e, ok := r.kept[key]; ok {
		return e.Value.(*repeat)
	}
	if len(r.kept) >= r.max {
		r.remove(r.ages.Front())
	}
	key = repeatKey{strings.Clone(key.room), strings.Clone(key.key)} // Or a whole request would be kept with them.
	one := &repeat{key: key, until: now + repeatsFor}
	r.kept[key] = r.ages.PushBack(one)
	return one
}

// forget lets the next request under the key try again.
func (r *repeats) forget(one *repeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.kept[one.key]; ok && e.Value.(*repeat) == one {
		r.remove(e)
	}
}

func (r *repeats) remove(e *list.Element) {
	delete(r.kept, e.Value.(*repeat).key)
	r.ages.Remove(e)
}

// isRepeatKey reports whether a client may use this as a key.
func isRepeatKey(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return len(key) > 0 && len(key) <= repeatKeyMax
}
