package cluster

import (
	"sync/atomic"
	"time"
)

// AckTimes are the upper ends of Stats.AckTimes' classes, which the last one has none of.
var AckTimes = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// Stats are what a node has counted since it was made, and where it stands.
type Stats struct {
	Epoch string
	IsOut bool // the stream does not answer

	// Publishing.
	Packs, PackMessages, PackBytes uint64 // acknowledged
	AckTimes                       [len(AckTimes) + 1]uint64
	AckTime                        time.Duration // of all of them together, from a pack's first attempt on
	Attempts, Repeated             uint64        // packs sent; sent again after they were looked for in vain
	Late, GivenUp, Refused         uint64        // messages: ErrTimeout, ErrUnknown, ErrRefused
	Waiting, InFlight              int           // packs
	WaitingBytes                   int64         // of both
	Held                           int           // rooms whose publishers wait

	// Following.
	Rooms, Opening         int    // followed; of those not live
	Appended               uint64 // messages
	Doubled, Stray         uint64 // packs that came again, or for rooms that are not followed
	Repairs, Repaired      uint64 // holes; packs fetched into them, which had not come by themselves
	HeldDropped            uint64 // packs for which there was no place while a hole was being closed
	HeldBytes              int64
	Checks                 uint64 // rooms' ends asked for
	Resets, Epochs         uint64 // rooms told that continuity is lost; new epochs
	Impossible             uint64 // packs with a place in the stream that they cannot have
	Garbage, UnknownFormat uint64 // packs that were left out
	Outages                uint64
	Short                  uint64 // times that the stream had dropped what a room's history has still
}

type counters struct {
	packs, packMessages, packBytes, ackTime         atomic.Uint64
	ackTimes                                        [len(AckTimes) + 1]atomic.Uint64
	attempts, repeated, late, givenUp, refused      atomic.Uint64
	appended, doubled, stray, repairs, repaired     atomic.Uint64
	heldDropped, checks, resets, epochs, impossible atomic.Uint64
	garbage, unknownVersion, outages, short         atomic.Uint64
}

// ofPack counts a pack that was acknowledged.
func (c *counters) ofPack(k *pack, now time.Duration) {
	c.packs.Add(1)
	c.packMessages.Add(uint64(k.messages))
	c.packBytes.Add(uint64(len(k.body)))
	took := now - k.firstAt
	c.ackTime.Add(uint64(took))
	i := 0
	for i < len(AckTimes) && took > AckTimes[i] {
		i++
	}
	c.ackTimes[i].Add(1)
}

// A status is where a node stands, for other goroutines. It is made anew once a second.
type status struct {
	epoch          string
	isOut          bool
	doubt          error
	rooms, opening int
	heldBytes      int64
}
