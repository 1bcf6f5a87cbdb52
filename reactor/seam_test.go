//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"testing"

	"sluice/reactor/internal/sys"
)

// BenchmarkSeam measures what the interface costs: a write and a read of 64 bytes through a socket
// pair.
func BenchmarkSeam(b *testing.B) {
	b.Run("direct", func(b *testing.B) {
		w, r := socketPair(b)
		var kernel sys.Real
		var buf [64]byte
		b.ReportAllocs()
		for b.Loop() {
			kernel.Write(w, buf[:])
			kernel.Read(r, buf[:])
		}
	})
	b.Run("interface", func(b *testing.B) {
		w, r := socketPair(b)
		var kernel Kernel = sys.Real{}
		var buf [64]byte
		b.ReportAllocs()
		for b.Loop() {
			kernel.Write(w, buf[:])
			kernel.Read(r, buf[:])
		}
	})
}
