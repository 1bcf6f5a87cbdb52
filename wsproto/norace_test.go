//go:build !race

package wsproto

// raceEnabled says that the race detector is on, under which pools drop things at random.
const raceEnabled = false
