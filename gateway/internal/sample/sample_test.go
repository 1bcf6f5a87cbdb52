package sample

import (
	"sync"
	"testing"
	"time"
)

// A flood of refusals on many loops costs a line a second.
func TestSamplesAreOneASecondForAllLoops(t *testing.T) {
	var s Sample
	var wg sync.WaitGroup
	lines, skipped := make([]int, 4), make([]uint64, 4)
	for i := range lines {
		wg.Go(func() {
			for now := time.Duration(0); now < 10*time.Second; now += 100 * time.Microsecond {
				if n, ok := s.Take(now); ok {
					lines[i]++
					skipped[i] += n
				}
			}
		})
	}
	wg.Wait()
	sum, told := 0, uint64(0)
	for i := range lines {
		sum += lines[i]
		told += skipped[i]
	}
	if sum < 10 || sum > 11 || uint64(sum)+told+s.skipped.Load() != 400_000 {
		t.Errorf("%d lines, which told of %d others, and %d are left", sum, told, s.skipped.Load())
	}
}
