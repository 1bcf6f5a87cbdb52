// Package limits raises what the operating system and the Go runtime allow this process.
package limits

import (
	"os"
	"runtime"

	"sluice/reactor"
)

// Raise makes room for descriptors, which children inherit, and adds a processor for each loop to
// those that Go uses, unless GOMAXPROCS says how many there are to be. Where the system refuses
// descriptors, connections fail and say so.
func Raise(loops int) {
	_, _ = reactor.DescriptorLimit() // If it cannot be raised, connections fail and say so.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + loops)
	}
}
