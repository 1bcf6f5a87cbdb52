package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Sizes says how large each message is: one size, a range, or a named mix of ranges. It is a
// function of publisher and number, so that runs repeat and receivers know what to expect.
type Sizes struct {
	parts []sizePart
	text  string
}

// sizePart is a range of sizes and how many in a hundred messages are of it.
type sizePart struct{ percent, low, high int }

// mixes are drawn from what such traffic looks like: mostly short, rarely long.
var mixes = map[string][]sizePart{
	"chat":   {{60, 48, 128}, {30, 128, 512}, {9, 512, 2048}, {1, 2048, 16384}},
	"ticker": {{90, 64, 160}, {10, 160, 400}},
	"state":  {{80, 200, 1000}, {15, 1000, 8000}, {5, 8000, 65536}},
}

// UnmarshalText takes "64", "64..4096" or the name of a mix.
func (s *Sizes) UnmarshalText(text []byte) error {
	s.text = string(text)
	if mix, ok := mixes[s.text]; ok {
		s.parts = mix
		return nil
	}
	low, high, isRange := strings.Cut(s.text, "..")
	if !isRange {
		high = low
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || from > to {
		return fmt.Errorf("%q is not a size: write bytes as 64, a range as 64..4096, or a mix: chat, state, ticker", text)
	}
	s.parts = []sizePart{{100, from, to}}
	return nil
}

// MarshalText is what UnmarshalText was given.
func (s Sizes) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// FixedSize is a single size of n bytes.
func FixedSize(n int) Sizes {
	return Sizes{parts: []sizePart{{100, n, n}}, text: strconv.Itoa(n)}
}

// String is what UnmarshalText was given.
func (s Sizes) String() string { return s.text }

// smallest is the size in bytes that no message falls below.
func (s Sizes) smallest() int {
	return slices.MinFunc(s.parts, func(a, b sizePart) int { return a.low - b.low }).low
}

// Largest is the size in bytes that no message exceeds.
func (s Sizes) Largest() int {
	return slices.MaxFunc(s.parts, func(a, b sizePart) int { return a.high - b.high }).high
}

// Of is the size of one message in bytes, the same in every process and run.
func (s Sizes) Of(publisher uint16, seq uint32) int {
	if len(s.parts) == 1 && s.parts[0].low == s.parts[0].high {
		return s.parts[0].low
	}
	random := scramble(uint64(publisher)<<32 | uint64(seq))
	dice := int(random >> 32 % 100)
	for _, p := range s.parts {
		if dice -= p.percent; dice < 0 {
			return p.low + int(random&0xffff_ffff)%(p.high-p.low+1)
		}
	}
	return s.parts[0].low
}

// scramble spreads the bits of v: the finaliser of SplitMix64.
func scramble(v uint64) uint64 {
	v += 0x9e37_79b9_7f4a_7c15
	v = (v ^ v>>30) * 0xbf58_476d_1ce4_e5b9
	v = (v ^ v>>27) * 0x94d0_49bb_1331_11eb
	return v ^ v>>31
}
