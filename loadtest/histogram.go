package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest time a histogram tells apart; longer ones count as this.
const longest = 10 * time.Minute

// A histogram of durations, in nanoseconds and to three digits. Each loop has its own; they are merged at the end.
type histogram struct{ h *hdrhistogram.Histogram }

func newHistogram() histogram {
	return histogram{hdrhistogram.New(1, int64(longest), 3)}
}

// record counts one duration. Clocks of one machine do not run backwards, but a duration below one nanosecond is 1.
func (h histogram) record(ns int64) {
	_ = h.h.RecordValue(min(max(ns, 1), int64(longest))) // In range, so it cannot fail.
}

func (h histogram) merge(o histogram) { h.h.Merge(o.h) }

func (h histogram) reset() { h.h.Reset() }

// MarshalText is the V2 encoding of HdrHistogram.
func (h histogram) MarshalText() ([]byte, error) {
	return h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalText reads what MarshalText wrote.
func (h *histogram) UnmarshalText(text []byte) (err error) {
	h.h, err = hdrhistogram.Decode(text)
	return err
}

// Quantiles are in microseconds, as the report has them.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (h histogram) quantiles() Quantiles {
	if h.h.TotalCount() == 0 {
		return Quantiles{}
	}
	at := func(percent float64) float64 { return float64(h.h.ValueAtPercentile(percent)) / 1e3 }
	return Quantiles{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.h.Max()) / 1e3}
}
