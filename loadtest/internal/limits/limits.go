// Package limits raises what the operating system and the Go runtime allow this process.
package limits

import (
	"os"
	"runtime"

	"sluice/reactor"
)

// Raise makes room for descriptors, for children too, and gives what is not a loop processors beside the loops.
func Raise(loops int) {
	_, _ = reactor.DescriptorLimit() // If it cannot be raised, connections fail and say so.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + loops)
	}
}
