package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written plainly or with a unit: 65536, 64KiB, 64K, 1MiB, 1MB.
type Size int64

// sizeUnits are what a size may be written in; String takes the first of them that divides it.
var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"GiB", 1 << 30},
	{"GB", 1e9},
	{"MiB", 1 << 20},
	{"MB", 1e6},
	{"KiB", 1 << 10},
	{"KB", 1e3},
	{"K", 1 << 10},
	{"M", 1 << 20},
	{"G", 1 << 30},
	{"B", 1},
}

// UnmarshalText parses a size; upper and lower case are the same.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := strings.TrimSpace(string(text)), int64(1)
	for _, u := range sizeUnits {
		if n := len(number) - len(u.suffix); n > 0 && strings.EqualFold(number[n:], u.suffix) {
			number, factor = strings.TrimSpace(number[:n]), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return fmt.Errorf("%q is not a size: write bytes as 65536, or 64KiB, 16MiB, 1GiB", text)
	}
	*s = Size(n * factor)
	return nil
}

// String writes the size in the largest unit that divides it: who has written 2GB reads that again.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if int64(s) >= u.factor && int64(s)%u.factor == 0 {
			return strconv.FormatInt(int64(s)/u.factor, 10) + u.suffix
		}
	}
	return "0B"
}
