package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/gateway"
)

// keyMin keeps keys from being guessed: what NewKey makes has 49 characters.
const keyMin = 16

// Keys are API keys, as a file has them: one on a line. Several serve for rotation: the new one is
// added, clients change over, the old one goes. Behind a key may stand the rooms that it is for, as
// patterns; without any it is for all that there is.
//
//	# the ticker's backend
//	sluice_3q2-…  ticker.* news
//	# operators
//	sluice_9Zk_…
type Keys struct{ list []*Key }

// A Key opens the API. Of what it is written as only a digest is kept.
type Key struct {
	digest [sha256.Size]byte
	holder gateway.Principal // without grants: of all rooms, and of what is about none

	mu     sync.Mutex
	filled time.Duration // when all that was taken of its rate will have flowed in again
}

// ParseKeys reads the text of a key file. Errors name the line, and nothing that stands on it.
func ParseKeys(text string) (k Keys, err error) {
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields[0]) < keyMin {
			return Keys{}, fmt.Errorf("line %d: a key must have at least %d characters; gateway key makes one", n+1, keyMin)
		}
		if strings.IndexFunc(fields[0], func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
			return Keys{}, fmt.Errorf("line %d: a key must be of visible ASCII; gateway key makes one", n+1)
		}
		one := &Key{digest: sha256.Sum256([]byte(fields[0])), holder: gateway.Principal{Kind: gateway.KindKey}}
		for _, pattern := range fields[1:] {
			if new(gateway.Grant).UnmarshalText([]byte(pattern+"=read")) != nil {
				return Keys{}, fmt.Errorf("line %d: the rooms of a key are patterns, as in ticker.*", n+1)
			}
		}
		if k.find(fields[0]) != nil {
			return Keys{}, fmt.Errorf("line %d: the key stands in a line before", n+1)
		}
		if len(fields) > 1 {
			one.holder.Grants = []gateway.Grant{{Rooms: fields[1:], May: gateway.Read | gateway.Publish | gateway.Presence | gateway.History}}
		}
		k.list = append(k.list, one)
	}
	if len(k.list) == 0 {
		return Keys{}, fmt.Errorf("there is no key in it; gateway key makes one")
	}
	return k, nil
}

// NewKey returns a key that nobody can guess, and that programs that look for secrets can find.
func NewKey() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // It does not fail.
	return "sluice_" + base64.RawURLEncoding.EncodeToString(random[:])
}

// Len is how many there are.
func (k *Keys) Len() int { return len(k.list) }

// Equal reports whether both are of the same keys, for the same rooms, in the same order.
func (k *Keys) Equal(other *Keys) bool {
	return slices.EqualFunc(k.list, other.list, func(a, b *Key) bool {
		return a.digest == b.digest && reflect.DeepEqual(a.holder, b.holder)
	})
}

// find compares a key with all of them, in the same time wherever it is among them, or is not.
func (k *Keys) find(given string) (found *Key) {
	digest := sha256.Sum256([]byte(given))
	for _, one := range k.list {
		if subtle.ConstantTimeCompare(digest[:], one.digest[:]) == 1 {
			found = one
		}
	}
	return found
}

// keepRates takes over what was used of the rates of keys that were there before.
func (k *Keys) keepRates(was *Keys) {
	for _, one := range k.list {
		for _, old := range was.list {
			if old.digest == one.digest {
				old.mu.Lock()
				one.filled = old.filled
				old.mu.Unlock()
			}
		}
	}
}

// isForAll reports whether the key is for more than some rooms.
func (k *Key) isForAll() bool { return k.holder.Grants == nil }

// take takes one message of a rate with bursts of a second's worth, and returns how long it is
// until there is one if there is none: the generic cell rate algorithm of ITU-T I.371.
func (k *Key) take(rate int64, now time.Duration) (lacks time.Duration) {
	if rate <= 0 {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	filled := max(k.filled, now) + time.Second/time.Duration(rate)
	if lacks = filled - now - time.Second; lacks > 0 {
		return lacks
	}
	k.filled = filled
	return 0
}
