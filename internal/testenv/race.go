//go:build race

package testenv

// RaceEnabled says whether the race detector is on: all is slower with it, and takes more memory.
const RaceEnabled = true
