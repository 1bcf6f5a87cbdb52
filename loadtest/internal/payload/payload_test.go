package payload

import (
	"bytes"
	"testing"
)

func TestPayloadRoundTrip(t *testing.T) {
	tag := Tag([]byte("ABCDEFGH"))
	for _, size := range []int{SizeMin, SizeMin + 1, 64, 125, 126, 65_535, 65_536, 300_000} {
		for _, s := range []Stamp{{}, {Seq: 1<<32 - 2, Publisher: PublisherMax, Due: DueMask}, {Seq: 12345, Publisher: 7, Due: 98_765_432_109}} {
			p := Append(nil, tag, s, size)
			if got, v := Check(p, tag); len(p) != size || got != s || v != Intact {
				t.Fatalf("size %d: %d bytes, %+v, verdict %v; want %+v", size, len(p), got, v, s)
			}
			if i := bytes.IndexFunc(p, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }); i >= 0 {
				t.Fatalf("byte %d is %q: it would not survive an envelope", i, p[i])
			}
			if _, v := Check(p, Tag([]byte("PONMLKJI"))); v != Foreign {
				t.Fatalf("another run's payload is %v", v)
			}
		}
	}
}

func TestEveryFlippedByteIsSeen(t *testing.T) {
	tag := Tag([]byte("ABCDEFGH"))
	p := Append(nil, tag, Stamp{Seq: 99, Publisher: 3, Due: 1e9}, 100)
	for i := range p {
		for _, bit := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
			p[i] ^= bit
			if _, v := Check(p, tag); v != Corrupt {
				t.Errorf("byte %d flipped by %#x: verdict %v", i, bit, v)
			}
			p[i] ^= bit
		}
	}
}
