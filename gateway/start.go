package gateway

import (
	"strconv"

	"sluice/wsproto"
)

// lastAll asks for all that the room keeps.
const lastAll = "all"

// lastMax is more than any room keeps.
const lastMax = 1<<31 - 1

// lastOf reads last=N, behind the path: with how many of the messages that its room keeps a client
// wants to begin, or last=all. Zero is with none, as without it.
func lastOf(query []byte) (n int, refusal *wsproto.Refusal) {
	said := ""
	for v := range queryValues(query, "last") {
		one, err := strconv.ParseUint(v, 10, 31)
		if v == lastAll {
			one, err = lastMax, nil
		}
		if err != nil || said != "" && v != said {
			return 0, wsproto.Refuse(wsproto.ReasonLast)
		}
		said, n = v, int(one)
	}
	return n, nil
}
