package gateway

import (
	"math/bits"
	"slices"
)

// A blockWriter writes deflate blocks that no encoder makes, bit by bit.
type blockWriter struct {
	p []byte
	n int // bits
}

// put writes a number, lowest bit first, as all but codes are.
func (w *blockWriter) put(value, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.p = append(w.p, 0)
		}
		w.p[len(w.p)-1] |= byte(value>>i&1) << (w.n % 8)
		w.n++
	}
}

// coded writes the code that symbol has among those of these lengths (RFC 1951 §3.2.2).
func (w *blockWriter) coded(symbol int, lengths []int) {
	code := 0
	for length := 1; length <= lengths[symbol]; length++ {
		code <<= 1
		for other, n := range lengths {
			if n == length && (n < lengths[symbol] || other < symbol) {
				code++
			}
		}
	}
	w.put(int(bits.Reverse16(uint16(code))>>(16-lengths[symbol])), lengths[symbol])
}

// declare begins a block, which is not the last one, with codes of its own (§3.2.7). Runs of a
// length are as short as they can be said.
func (w *blockWriter) declare(literals, distances, lengths []int) {
	w.put(0b100, 3)
	w.put(len(literals)-257, 5)
	w.put(len(distances)-1, 5)
	w.put(19-4, 4)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.put(lengths[symbol], 3)
	}
	all := slices.Concat(literals, distances)
	for i := 0; i < len(all); {
		run := i
		for run < len(all) && all[run] == all[i] {
			run++
		}
		switch n := run - i; {
		case all[i] == 0 && n >= 11:
			n = min(n, 138)
			w.coded(18, lengths)
			w.put(n-11, 7)
			i += n
		case i > 0 && all[i] == all[i-1] && n >= 3:
			n = min(n, 6)
			w.coded(16, lengths)
			w.put(n-3, 2)
			i += n
		default:
			w.coded(all[i], lengths)
			i++
		}
	}
}

// blocks repeats a block until size bytes are full, and begins the empty one whose length a message
// leaves out.
func blocks(size int, first, each func(w *blockWriter)) []byte {
	var w, one blockWriter
	first(&w)
	each(&one)
	for len(w.p)+len(one.p) < size {
		for i := range one.n {
			w.put(int(one.p[i/8]>>(i%8)), 1)
		}
	}
	w.put(0, 3)
	return w.p
}

// emptyBlocks are as many blocks as fit in size bytes that each declare the shortest codes and then
// end.
func emptyBlocks(size int) []byte {
	literals := make([]int, 257)
	literals[256] = 1
	lengths := make([]int, 19)
	lengths[18], lengths[1] = 1, 1
	return blocks(size, func(*blockWriter) {}, func(w *blockWriter) {
		w.declare(literals, []int{1}, lengths)
		w.coded(256, literals)
	})
}

// costlyBlocks are as many blocks as fit in size bytes that each declare codes which take the most
// work: all symbols have one, and most of them one longer than what is looked up at once. Each
// holds a match of 3 bytes, so that what comes of all is no larger than what was sent.
func costlyBlocks(size int) []byte {
	literals := slices.Repeat([]int{10}, 286)
	copy(literals, []int{15, 15, 14, 13, 12, 11, 10}) // together as much as one of nine bits
	literals[256], literals[257] = 1, 3
	copy(literals[281:], []int{4, 5, 7, 8, 9})
	distances := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}
	lengths := make([]int, 19)
	for i := range lengths {
		lengths[i] = 5 + i%2
	}
	lengths[16], lengths[10], lengths[17] = 1, 3, 0
	return blocks(size, func(w *blockWriter) {
		w.put(0b010, 3) // fixed codes: a byte to be repeated
		w.put(0b00001100, 8)
		w.put(0, 7)
	}, func(w *blockWriter) {
		w.declare(literals, distances, lengths)
		w.coded(257, literals)
		w.coded(0, distances)
		w.coded(256, literals)
	})
}
