package load

import (
	"fmt"
	"strconv"
	"strings"
)

// A Kind is how a client behaves. Publishers are readers.
type Kind uint8

const (
	KindReader  Kind = iota // reads at once, and is held to every message
	KindStalled             // joins and never reads
	KindSlow                // reads Slow.Rate bytes a second; held to order and content alone
	KindGuest               // leaves and returns; held to every message within a stay
	KindResumer             // drops and goes on where it was; held to every message of the run
)

// kinds is how many there are.
const kinds = KindResumer + 1

// Slow is a number of slow clients and their pace, written N@RATE.
type Slow struct {
	N    int
	Rate int // bytes per second
}

// UnmarshalText parses N@RATE.
func (s *Slow) UnmarshalText(text []byte) error {
	n, rate, ok := strings.Cut(string(text), "@")
	var err1, err2 error
	s.N, err1 = strconv.Atoi(n)
	s.Rate, err2 = strconv.Atoi(rate)
	if !ok || err1 != nil || err2 != nil || s.N < 0 || s.Rate < 1 {
		return fmt.Errorf("%q: write clients@bytes-per-second, as in 10@2000", text)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Slow) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d@%d", s.N, max(1, s.Rate)), nil
}

// Share is a part of something in percent.
type Share float64

// UnmarshalText takes "30%" or "30".
func (s *Share) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || v < 0 || v > 100 {
		return fmt.Errorf("%q is not a share: write 30%%", text)
	}
	*s = Share(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v%%", float64(s)), nil }

// CrowdSizes is how many clients are of each kind. A load that was not prepared may have less than
// no readers.
func (c *Load) CrowdSizes() (n [kinds]int) {
	audience := c.Clients - c.Publishers - c.SSE
	n[KindStalled], n[KindSlow] = c.Stalled, c.Slow.N
	if c.Churn > 0 {
		// Enough that nobody comes and goes more often than every other second, but most of the
		// audience stays.
		n[KindGuest] = min(max(1, int(2*c.Churn+0.999)), max(1, (audience-n[KindStalled]-n[KindSlow])/2))
	}
	switch storm := c.StormSize(); {
	case c.Resume:
		n[KindResumer] = storm
	case c.SSE == 0:
		n[KindGuest] = max(n[KindGuest], storm)
	default:
		n[KindGuest] += storm
	}
	n[KindReader] = c.Clients - n[KindStalled] - n[KindSlow] - n[KindGuest] - n[KindResumer]
	return n
}

// StormSize is how many clients a storm takes: the last ones, which are all guests or resumers. It
// is a share of those that read events, where some do.
func (c *Load) StormSize() int {
	of := c.SSE
	if of == 0 {
		of = c.Clients
	}
	return int(float64(of)*float64(c.Storm)/100 + 0.5)
}

// HearsEvents says that the client with this number reads server-sent events: the last ones do.
func (c *Load) HearsEvents(index int) bool { return index >= c.Clients-c.SSE }

// KindOf is how the client with this number, from 0, behaves. Readers come first, and the
// publishers are the first of them. Those that read events are readers too, behind everybody else,
// but for the storm's.
func (c *Load) KindOf(index int) Kind {
	switch isStormy := index >= c.Clients-c.StormSize(); {
	case isStormy && c.Resume:
		return KindResumer
	case isStormy:
		return KindGuest
	case c.HearsEvents(index):
		return KindReader
	}
	n := c.CrowdSizes()
	n[KindReader] -= c.SSE - min(c.SSE, c.StormSize())
	for k := KindReader; k < KindGuest; k++ {
		if index -= n[k]; index < 0 {
			return k
		}
	}
	return KindGuest
}
