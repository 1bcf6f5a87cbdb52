package latency

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDurationsOutsideTheRangeCountAtItsEnds(t *testing.T) {
	h := New()
	h.Record(-5)
	h.Record(int64(Longest) * 3)
	if h.Count() != 2 || h.Percentile(1) != 1 || h.Max() < Longest || h.Max() > Longest*1001/1000 {
		t.Errorf("%d recorded, the least %v, the most %v; want 2, 1 ns, %v", h.Count(), h.Percentile(1), h.Max(), Longest)
	}
}

func TestEmptyHistogramHasNoQuantiles(t *testing.T) {
	for name, h := range map[string]Histogram{"zero": {}, "new": New()} {
		if h.Count() != 0 || h.Quantiles() != (Quantiles{}) {
			t.Errorf("%s: %d recorded, quantiles %+v", name, h.Count(), h.Quantiles())
		}
	}
}

// What another process sends as text is what it recorded, in both kinds, and adds up with what this
// one has.
func TestHistogramsOfOtherProcessesAddUp(t *testing.T) {
	recorded := New()
	for ms := range int64(1000) {
		recorded.Record((ms + 1) * int64(time.Millisecond))
	}
	packed := NewPacked()
	packed.Add(recorded)
	sent := struct {
		Whole  Histogram
		Packed Packed
	}{recorded, packed}
	text, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	got := sent
	got.Whole, got.Packed = Histogram{}, Packed{}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	got.Whole.Merge(recorded)
	got.Packed.Merge(packed)
	for name, h := range map[string]interface {
		Count() int64
		Percentile(percent float64) time.Duration
		Max() time.Duration
	}{"whole": got.Whole, "packed": got.Packed} {
		if h.Count() != 2000 {
			t.Errorf("%s: %d recorded, want 2000", name, h.Count())
		}
		for percent, want := range map[float64]time.Duration{50: 500 * time.Millisecond, 99: 990 * time.Millisecond, 100: time.Second} {
			if p := h.Percentile(percent); p < want*999/1000 || p > want*1001/1000 {
				t.Errorf("%s: percentile %v is %v, want %v", name, percent, p, want)
			}
		}
		if h.Max() < time.Second || h.Max() > time.Second*1001/1000 {
			t.Errorf("%s: the longest is %v, want 1 s", name, h.Max())
		}
	}
	recorded.Reset()
	if recorded.Count() != 0 || packed.Count() != 1000 {
		t.Errorf("%d after a reset, %d in what was added before; want 0 and 1000", recorded.Count(), packed.Count())
	}
}
