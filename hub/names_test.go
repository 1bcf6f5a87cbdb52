package hub

import (
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// Names are clients' choice, and whoever knows how they are hashed can choose such as fall
// together. unkeyed are hashes that need no key to be computed, as tables of older languages have
// them: each takes one byte more.
var unkeyed = map[string]struct {
	start uint32
	next  func(h uint32, b byte) uint32
	whole func(s string) uint32 // the same by somebody else; nil where there is none
}{
	"FNV-1a": {2166136261, func(h uint32, b byte) uint32 { return (h ^ uint32(b)) * 16777619 }, func(s string) uint32 {
		h := fnv.New32a()
		h.Write([]byte(s))
		return h.Sum32()
	}},
	"CRC-32": {^uint32(0), func(h uint32, b byte) uint32 { return crc32.IEEETable[byte(h)^b] ^ h>>8 }, func(s string) uint32 {
		return ^crc32.ChecksumIEEE([]byte(s))
	}},
	"times 31": {0, func(h uint32, b byte) uint32 { return 31*h + uint32(b) }, nil},
	"times 33": {5381, func(h uint32, b byte) uint32 { return 33*h + uint32(b) }, nil},
}

const (
	collidingPairs = 12
	colliding      = 1 << collidingPairs
	letters        = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

func word(random *rand.Rand, n int) string {
	p := make([]byte, n)
	for i := range p {
		p[i] = letters[random.IntN(len(letters))]
	}
	return string(p)
}

// collide returns names that all have one hash. Of some hundred thousand words two lead from one
// state of the hash to the same other one; twelve such pairs, one behind the other, make 4,096
// names (Joux, "Multicollisions in Iterated Hash Functions", 2004).
func collide(start uint32, next func(h uint32, b byte) uint32) (names []string) {
	random := rand.New(rand.NewPCG(1, 1))
	names = []string{""}
	for range collidingPairs {
		seen := make(map[uint32][6]byte, 1<<17)
		for {
			var w [6]byte
			h := start
			for i := range w {
				w[i] = letters[random.IntN(len(letters))]
				h = next(h, w[i])
			}
			other, ok := seen[h]
			if !ok || other == w {
				seen[h] = w
				continue
			}
			for _, name := range slices.Clone(names) {
				names = append(names, name+string(w[:]))
			}
			for i := range len(names) / 2 {
				names[i] += string(other[:])
			}
			start = h
			break
		}
	}
	return names
}

// collisions are colliding names for each of the unkeyed hashes.
var collisions = sync.OnceValue(func() map[string][]string {
	all := map[string][]string{}
	for label, h := range unkeyed {
		all[label] = collide(h.start, h.next)
	}
	return all
})

// randomNames are as many of the same lengths, chosen without malice.
func randomNames(seed uint64) (names []string) {
	random := rand.New(rand.NewPCG(seed, 2))
	for range colliding {
		names = append(names, word(random, 6*collidingPairs))
	}
	return names
}

const shards = 256

// spread counts the names by shard, and returns the most that share one.
func spread(names []string, hash func(string) uint64) (most int) {
	var counts [shards]int
	for _, name := range names {
		i := hash(name) % shards
		counts[i]++
		most = max(most, counts[i])
	}
	return most
}

// Names that fall together under hashes without a key are spread by the one that Go's maps use,
// which hash/maphash gives access to: as evenly as any, and differently under each seed. The
// directory of rooms is such a map.
func TestE10_CollidingNamesAreSpread(t *testing.T) {
	var _ map[string]*Room = new(Hub).rooms
	for label, h := range unkeyed {
		names := collisions()[label]
		sum := func(s string) (v uint32) {
			v = h.start
			for i := range len(s) {
				v = h.next(v, s[i])
			}
			return v
		}
		for _, name := range names {
			if sum(name) != sum(names[0]) || h.whole != nil && h.whole(name) != sum(name) {
				t.Fatalf("%s: %q does not collide", label, name)
			}
		}
		if all := slices.Compact(slices.Sorted(slices.Values(names))); len(all) != colliding {
			t.Fatalf("%s: %d names, want %d", label, len(all), colliding)
		}
		// 16 names to a shard in the mean; more than 50 in one is less likely than 1 in 10 to the
		// 8.
		seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
		var groups [2][]string // those that share a shard with the first name, by seed
		for i, seed := range seeds {
			keyed := func(s string) uint64 { return maphash.String(seed, s) }
			if most := spread(names, keyed); most > 50 {
				t.Errorf("%s: %d of %d names share one shard of %d", label, most, colliding, shards)
			}
			for _, name := range names {
				if keyed(name)%shards == keyed(names[0])%shards {
					groups[i] = append(groups[i], name)
				}
			}
		}
		if slices.Equal(groups[0], groups[1]) {
			t.Errorf("%s: the same names share a shard under either seed", label)
		}
	}
}

// Two hubs hash alike only by accident: the runtime has given each directory a seed of its own.
func TestE10_EachHubHashesInItsOwnWay(t *testing.T) {
	seen := map[uintptr]bool{}
	for n := range 8 {
		f := newFixture(t, wide)
		for i := range n + 1 {
			f.join(0, fmt.Sprint(i))
		}
		rooms := f.hub.rooms
		// The head of internal/runtime/maps.Map.
		head := *(**struct {
			used uint64
			seed uintptr
		})(unsafe.Pointer(&rooms))
		if head.used != uint64(n+1) {
			const why = "this version of Go lays maps out in another way"
			if os.Getenv("SLUICE_CI") == "1" {
				t.Fatal(why)
			}
			t.Skip("left out: " + why)
		}
		seen[head.seed] = true
	}
	if len(seen) < 7 {
		t.Errorf("8 hubs have %d different seeds", len(seen))
	}
}

// Rooms with colliding names are found in about the time that others take. Beside it, the same
// names in a table that they fall together in, where each is compared with 2,000 others in the
// mean; the bound lies far from either.
func TestE10_CollidingNamesCostNoMoreThanOthers(t *testing.T) {
	const rounds, bound, sample = 7, 10, 16
	// The machine is never faster than it is: the least of some rounds counts.
	least := func(names []string, find func(name string) bool) time.Duration {
		took := time.Duration(1 << 62)
		for range rounds {
			began := time.Now()
			for _, name := range names {
				if !find(name) {
					t.Fatalf("%q is lost", name)
				}
			}
			took = min(took, time.Since(began))
		}
		return took
	}
	in := func(names []string) time.Duration {
		f := newFixture(t, wide)
		var asked []string
		for _, name := range names {
			f.join(0, name)
			asked = append(asked, strings.Clone(name)) // Not the same bytes, or comparing would cost nothing.
		}
		return least(asked, func(name string) bool { _, ok := f.hub.Room(name); return ok })
	}
	others := in(randomNames(7))
	for label, names := range collisions() {
		took := in(names)
		var some []string // one of sixteen, from all over the table
		for i := sample / 2; i < len(names); i += sample {
			some = append(some, names[i])
		}
		fallen := sample * least(some, func(name string) bool { return slices.Contains(names, name) })
		t.Logf("%s: %d colliding names took %v, others %v; fallen together they take %v", label, colliding, took, others, fallen)
		if took > bound*others || fallen < bound*others {
			t.Errorf("%s: colliding names took %v, others %v; fallen together they take %v", label, took, others, fallen)
		}
	}
}
