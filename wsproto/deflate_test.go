package wsproto

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// inflateStd inflates what AppendDeflated made with the standard library, as RFC 7692 §7.2.2 has
// it, and a final block to stop it.
func inflateStd(t testing.TB, payload []byte) []byte {
	t.Helper()
	in := io.MultiReader(bytes.NewReader(payload), strings.NewReader(deflateTail+"\x01"+deflateTail))
	out, err := io.ReadAll(flate.NewReader(in))
	if err != nil {
		t.Fatalf("standard library: %v after %d bytes, of %.100x", err, len(out), payload)
	}
	return out
}

func TestDeflatedIsInflatedByTheStandardLibrary(t *testing.T) {
	for i, want := range samples() {
		dst := AppendDeflated([]byte("before"), want)
		payload, ok := bytes.CutPrefix(dst, []byte("before"))
		if got := inflateStd(t, payload); !ok || !bytes.Equal(got, want) {
			t.Errorf("sample %d: %d bytes, want %d", i, len(got), len(want))
		}
		if most := len(want) + 6 + len(want)/4000; len(payload) > most {
			t.Errorf("sample %d: %d bytes became %d", i, len(want), len(payload))
		}
	}
}

func TestEmptyMessageDeflatesToOneZeroByte(t *testing.T) {
	if got := AppendDeflated(nil, nil); !bytes.Equal(got, []byte{0}) { // RFC 7692 §7.2.3.6
		t.Errorf("%x", got)
	}
}

// What is deflated for a room is the same for all who join it later: nothing of one message leaks
// into the next.
func TestDeflatingKeepsNoContext(t *testing.T) {
	for i, payload := range samples() {
		first := AppendDeflated(nil, payload)
		AppendDeflated(nil, jsonOf(5000))
		if again := AppendDeflated(nil, payload); !bytes.Equal(first, again) {
			t.Errorf("sample %d: %d bytes, then %d", i, len(first), len(again))
		}
	}
}

func TestDeflatedHeaderIsThatOfAnotherLibraryWithRSV1(t *testing.T) {
	for _, op := range []Opcode{OpText, OpBinary} {
		for _, length := range []int{1, 125, 126, 65535, 65536, 1 << 20} {
			var want bytes.Buffer
			h := ws.Header{Fin: true, Rsv: ws.Rsv(true, false, false), OpCode: ws.OpCode(op), Length: int64(length)}
			if err := ws.WriteHeader(&want, h); err != nil {
				t.Fatal(err)
			}
			got, ok := bytes.CutPrefix(AppendDeflatedHeader([]byte("before"), op, length), []byte("before"))
			if !ok || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("op %d length %d: %x, want %x", op, length, got, want.Bytes())
			}
		}
	}
}

func TestOnlyDataFramesHaveADeflatedHeader(t *testing.T) {
	for _, op := range []Opcode{OpContinuation, OpClose, OpPing, OpPong} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("opcode %d: no panic", op)
				}
			}()
			AppendDeflatedHeader(nil, op, 1)
		}()
	}
}

// What is stored may be changed afterwards, whatever is deflated behind it, even if that repeats
// it.
func TestStoredBytesCanBeChangedBeforeWhatIsDeflated(t *testing.T) {
	for i, body := range samples() {
		for _, head := range []string{"", "1", `{"offset":00000000`, strings.Repeat("x", StoredMax)} {
			body := append(bytes.Repeat([]byte(head), 2), body...)
			stored := AppendStored([]byte("before"), []byte(head))
			payload := AppendDeflated(stored, body)
			changed := bytes.ToUpper([]byte(strings.ReplaceAll(head, "0", "7")))
			copy(payload[len(stored)-len(head):], changed)
			if got := inflateStd(t, payload[len("before"):]); !bytes.Equal(got, append(changed, body...)) {
				t.Errorf("sample %d behind %d bytes: %d, want %d", i, len(head), len(got), len(changed)+len(body))
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a block of any length")
		}
	}()
	AppendStored(nil, make([]byte, StoredMax+1))
}

func TestDeflatingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	dst := make([]byte, 0, 1<<20)
	for _, size := range []int{0, 5, 64, 1 << 10, 64 << 10} {
		payload := jsonOf(size)
		if allocs := testing.AllocsPerRun(100, func() { AppendDeflated(dst, payload) }); allocs != 0 {
			t.Errorf("%d bytes: %v allocations", size, allocs)
		}
	}
}

// Beside what it appends, deflating holds one block, whatever the size of the payload.
func TestDeflatingLargePayloadsTakesLittleMemory(t *testing.T) {
	payload, dst := make([]byte, 16<<20), make([]byte, 0, 1<<20)
	if cost := allocated(func() { dst = AppendDeflated(dst, payload) }); cost > 1<<20 || len(dst) > 1<<20 {
		t.Errorf("16 MiB of zeros: %d bytes allocated, %d appended", cost, len(dst))
	}
}

// FuzzDeflateRoundTrip deflates a payload and has the standard library and the Decoder inflate it.
func FuzzDeflateRoundTrip(f *testing.F) {
	for _, payload := range samples() {
		f.Add(payload[:min(len(payload), 5000)], uint16(3))
	}
	f.Add([]byte("abcabcabcabcabcabcabc"), uint16(3000))
	f.Fuzz(func(t *testing.T, part []byte, times uint16) {
		payload := bytes.Repeat(part, 1+int(times)%max(1, 100_000/(1+len(part)))) // over several blocks
		deflated := AppendDeflated(nil, payload)
		if got := inflateStd(t, deflated); !bytes.Equal(got, payload) {
			t.Fatalf("standard library: %d bytes, want %d", len(got), len(payload))
		}
		d := Decoder{Limit: len(payload) + 100 + len(payload)/4000, Client: true, Deflate: true}
		m, _, err := d.Next(append(AppendDeflatedHeader(nil, OpBinary, len(deflated)), deflated...))
		if err != nil || !bytes.Equal(m.Payload, payload) || m.Op != OpBinary || !m.Compressed {
			t.Fatalf("Decoder: %v, opcode %d, compressed %t, %d bytes, want %d", err, m.Op, m.Compressed, len(m.Payload), len(payload))
		}
		d.Release()
	})
}

func BenchmarkAppendDeflated(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			payload, dst := jsonOf(size), make([]byte, 0, 2*size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n = len(AppendDeflated(dst, payload))
			}
			b.ReportMetric(float64(n), "out-bytes")
		})
	}
}
