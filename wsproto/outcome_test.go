package wsproto

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An outcome is what a stream became: the messages before the end and the violation that ended it.
type outcome struct {
	Messages []string
	Err      error
}

func (o *outcome) add(m Message) {
	o.Messages = append(o.Messages, fmt.Sprintf("%#x:%s", byte(m.Op), m.Payload))
}

func messages(kv ...any) outcome {
	var o outcome
	for i := 0; i < len(kv); i += 2 {
		o.add(Message{Op: kv[i].(Opcode), Payload: []byte(kv[i+1].(string))})
	}
	return o
}

func (o outcome) then(err error) outcome {
	o.Err = err
	return o
}

// decode feeds input to d in pieces of the sizes that cut returns, and holds d to what Next
// promises on the way.
func decode(t testing.TB, d *Decoder, input []byte, cut func() int) outcome {
	t.Helper()
	var got outcome
	for at := 0; at < len(input); {
		size := min(cut(), len(input)-at)
		chunk := bytes.Clone(input[at : at+size])
		at += size
		for {
			m, n, err := d.Next(chunk)
			if err != nil {
				if _, n, again := d.Next([]byte("x")); again != err || n != 0 {
					t.Errorf("after violation %v: took %d, error %v", err, n, again)
				}
				if d.Idle() || d.Held() != 0 {
					t.Errorf("after violation: idle %t, held %d", d.Idle(), d.Held())
				}
				return got.then(err)
			}
			most := d.Limit + MaxControlPayload
			if d.Deflate {
				most = DeflatedMax(d.Limit) + MaxControlPayload
			}
			if d.Inflating() {
				most += max(inflatedFirst, d.Limit+1)
			}
			if held := d.Held(); held > most {
				t.Fatalf("holds %d bytes with limit %d, inflating: %t", held, d.Limit, d.Inflating())
			}
			if d.Inflating() {
				if m.Op != 0 || d.Slice == 0 || d.Idle() || !d.Partial() {
					t.Fatalf("inflating: message %d, slice %d, idle %t, partial %t", m.Op, d.Slice, d.Idle(), d.Partial())
				}
				clear(chunk[:n]) // What was taken is not ours to keep.
			}
			chunk = chunk[n:]
			if m.Op == 0 && !d.Inflating() {
				break
			}
			if m.Op == 0 {
				continue
			}
			got.add(m)
		}
		if len(chunk) != 0 {
			t.Fatalf("Next left %d bytes without a message", len(chunk))
		}
	}
	return got
}

func byBytes() int { return 1 }

// everyCut decodes input whole, byte by byte, at random splits and inflated in slices, and returns
// the one outcome all must have.
func everyCut(t testing.TB, d Decoder, input []byte) outcome {
	t.Helper()
	run := func(name string, slice int, cut func() int) (outcome, bool) {
		c := d
		c.Slice = slice
		got := decode(t, &c, input, cut)
		idle := c.Idle()
		c.Release()
		if !c.Idle() {
			t.Errorf("%s: not idle after Release", name)
		}
		return got, idle
	}
	want, wantIdle := run("whole", 0, func() int { return len(input) })
	check := func(name string, slice int, cut func() int) {
		t.Helper()
		got, idle := run(name, slice, cut)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
			t.Errorf("%s differs from whole (-whole +%s):\n%.2000s", name, name, diff)
		}
		if idle != wantIdle {
			t.Errorf("%s: idle %t, whole %t", name, idle, wantIdle)
		}
	}
	check("byte by byte", 0, byBytes)
	if d.Deflate {
		check("in the smallest slices", 1, func() int { return len(input) })
	}
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, uint64(len(input))))
		spread := 1 + rng.IntN(max(2, len(input)/2))
		slice := int(seed%2) * (1 + rng.IntN(3000))
		check(fmt.Sprintf("seed %d, slices of %d", seed, slice), slice, func() int { return 1 + rng.IntN(spread) })
	}
	return want
}

// expect decodes input in every way with a server's Decoder of 1 KiB and compares.
func expect(t *testing.T, input []byte, want outcome) {
	t.Helper()
	expectFrom(t, Decoder{Limit: 1024}, input, want)
}

func expectFrom(t *testing.T, d Decoder, input []byte, want outcome) {
	t.Helper()
	got := everyCut(t, d, input)
	if got.Err != want.Err {
		t.Errorf("violation %v, want %v", got.Err, want.Err)
	}
	if diff := cmp.Diff(want.Messages, got.Messages); diff != "" {
		t.Errorf("messages (-want +got):\n%.2000s", diff)
	}
}
