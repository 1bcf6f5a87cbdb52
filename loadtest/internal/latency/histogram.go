// Package latency counts durations by their length, in HdrHistogram's way.
package latency

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Longest is the longest time that a histogram tells apart. Longer ones count as this.
const Longest = 10 * time.Minute

// A Histogram counts durations from 1 ns to Longest and keeps three digits of each. It is not safe
// for concurrent use: each loop has its own, and they are merged when nobody records any more. A
// copy of it counts into the same place. The zero Histogram is empty: it can be counted and asked
// for Quantiles, but for nothing else.
type Histogram struct{ h *hdrhistogram.Histogram }

// New makes an empty histogram of some 200 kB.
func New() Histogram {
	return Histogram{hdrhistogram.New(1, int64(Longest), 3)}
}

// Record counts one duration in nanoseconds. Clocks of one machine do not run backwards, but one
// below a nanosecond counts as a nanosecond. It does not allocate.
func (h Histogram) Record(ns int64) {
	_ = h.h.RecordValue(min(max(ns, 1), int64(Longest))) // In range, so it cannot fail.
}

// Merge adds what o counted.
func (h Histogram) Merge(o Histogram) { h.h.Merge(o.h) }

// Reset forgets all.
func (h Histogram) Reset() { h.h.Reset() }

// Count is how many durations were recorded.
func (h Histogram) Count() int64 {
	if h.h == nil {
		return 0
	}
	return h.h.TotalCount()
}

// Percentile is the duration that percent of all, from 0 to 100, do not exceed.
func (h Histogram) Percentile(percent float64) time.Duration {
	return time.Duration(h.h.ValueAtPercentile(percent))
}

// Max is the longest duration recorded.
func (h Histogram) Max() time.Duration { return time.Duration(h.h.Max()) }

// MarshalText is the V2 encoding of HdrHistogram.
func (h Histogram) MarshalText() ([]byte, error) {
	return h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads what MarshalText wrote.
func (h *Histogram) UnmarshalText(text []byte) (err error) {
	h.h, err = hdrhistogram.Decode(text)
	return err
}

// Quantiles are some percentiles and the longest duration, in microseconds: all zero if nothing was
// recorded.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Quantiles are those of all durations recorded.
func (h Histogram) Quantiles() Quantiles {
	if h.Count() == 0 {
		return Quantiles{}
	}
	at := func(percent float64) float64 { return float64(h.Percentile(percent)) / 1e3 }
	return Quantiles{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e3}
}

// Packed is a histogram that takes little memory and is slow to add to: one for each interval of a
// series.
type Packed struct{ h *hdrhistogram.PackedHistogram }

// NewPacked makes an empty one.
func NewPacked() Packed { return Packed{hdrhistogram.NewPacked(1, int64(Longest), 3)} }

// Add adds what h counted.
func (p Packed) Add(h Histogram) { p.h.MergeFrom(h.h) }

// Merge adds what o counted.
func (p Packed) Merge(o Packed) { p.h.Merge(o.h) }

// Count is how many durations there are.
func (p Packed) Count() int64 { return p.h.TotalCount() }

// Percentile is the duration that percent of all, from 0 to 100, do not exceed.
func (p Packed) Percentile(percent float64) time.Duration {
	return time.Duration(p.h.ValueAtPercentile(percent))
}

// Max is the longest duration.
func (p Packed) Max() time.Duration { return time.Duration(p.h.Max()) }

// MarshalText is the V2 encoding of HdrHistogram.
func (p Packed) MarshalText() ([]byte, error) { return p.h.Encode() }

// UnmarshalText reads what MarshalText wrote.
func (p *Packed) UnmarshalText(text []byte) (err error) {
	p.h, err = hdrhistogram.DecodePacked(text)
	return err
}
