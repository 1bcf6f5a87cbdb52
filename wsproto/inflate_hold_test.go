package wsproto

import (
	"bytes"
	"compress/flate"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestZ14_ManyDecodersShareThePool(t *testing.T) {
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 0))
			for range 300 {
				want := bytes.Repeat([]byte{byte('a' + g), byte(rng.IntN(256))}, 1+rng.IntN(10_000))
				deflated := AppendDeflated(nil, want)
				if rng.IntN(3) == 0 {
					deflated = deflated[:len(deflated)-1]
					want = nil
				}
				input := compressed(AppendMaskedFrame(nil, OpBinary, true, testMask, deflated))
				d := deflateDecoder(15_000)
				m, _, err := d.Next(input)
				switch {
				case want == nil || len(want) > d.Limit:
					if err == nil {
						t.Errorf("spoilt or too big: no violation, %d bytes", len(m.Payload))
					}
				case err != nil || !bytes.Equal(m.Payload, want):
					t.Errorf("error %v, %d bytes, want %d", err, len(m.Payload), len(want))
				}
				d.Release()
			}
		})
	}
	wait.Wait()
}

func TestInflatedPayloadIsHeldUntilTheNextCall(t *testing.T) {
	want := jsonOf(3000)
	input := stream(compressed(frame(OpBinary, true, string(deflateStd(t, flate.BestSpeed, want)))), text("next"))
	d := deflateDecoder(5000)
	m, n, err := d.Next(input)
	other := deflateDecoder(5000) // The pooled inflater is free already.
	if _, _, err := other.Next(compressed(frame(OpBinary, true, string(deflateStd(t, flate.BestSpeed, bytes.Repeat([]byte("o"), 5000)))))); err != nil {
		t.Fatal(err)
	}
	clear(input[:n])
	if err != nil || !bytes.Equal(m.Payload, want) || d.Idle() || d.Held() != 4096 {
		t.Errorf("error %v, %d bytes, idle %t, held %d", err, len(m.Payload), d.Idle(), d.Held())
	}
	if m, _, err := d.Next(input[n:]); string(m.Payload) != "next" || err != nil || !d.Idle() {
		t.Errorf("%q, %v, idle %t", m.Payload, err, d.Idle())
	}
}

func TestReleaseInsideACompressedMessage(t *testing.T) {
	d := deflateDecoder(100)
	d.Next(compressed(frame(OpText, false, "\xf2\x48")))
	if d.Idle() || d.Held() == 0 {
		t.Error("idle inside a compressed message")
	}
	if d.Release(); !d.Idle() || d.Held() != 0 || !d.Deflate || d.Limit != 100 {
		t.Errorf("after Release: %+v", d)
	}
	if m, _, err := d.Next(text("new")); string(m.Payload) != "new" || err != nil {
		t.Errorf("got %q, %v", m.Payload, err)
	}
}

func TestReleaseWhileInflating(t *testing.T) {
	want := jsonOf(50_000)
	d := deflateDecoder(60_000)
	d.Slice = 20_000
	src := compressed(text(string(deflateStd(t, flate.BestSpeed, want))))
	m, n, err := d.Next(src)
	if m.Op != 0 || n != len(src) || err != nil || !d.Inflating() || !d.Partial() || d.Held() < len(src)-maxHeader {
		t.Fatalf("message %d, took %d, error %v, inflating %t, held %d", m.Op, n, err, d.Inflating(), d.Held())
	}
	if d.Release(); d.Inflating() || !d.Idle() || d.Held() != 0 || d.Slice != 20_000 {
		t.Errorf("after Release: %+v", d)
	}
	if m, _, err := d.Next(text("new")); string(m.Payload) != "new" || err != nil {
		t.Errorf("got %q, %v", m.Payload, err)
	}
}
