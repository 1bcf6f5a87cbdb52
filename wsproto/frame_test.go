package wsproto

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

func TestHeadersEqualThoseOfAnotherLibrary(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 1 << 30} {
		for _, fin := range []bool{true, false} {
			var want bytes.Buffer
			if err := ws.WriteHeader(&want, ws.Header{Fin: fin, OpCode: ws.OpBinary, Length: int64(length)}); err != nil {
				t.Fatal(err)
			}
			got := AppendHeader(nil, OpBinary, fin, length)
			if !bytes.Equal(got, want.Bytes()) || len(got) > MaxServerHeader {
				t.Errorf("length %d fin %t: %x, want %x", length, fin, got, want.Bytes())
			}
		}
	}
}

func TestFramesAreReadByAnotherLibrary(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("payload "), length/8+1)[:length]
		kept := bytes.Clone(payload)
		out := AppendFrame([]byte("before"), OpText, payload)
		out = AppendMaskedFrame(out, OpContinuation, false, testMask, payload)
		if !bytes.Equal(payload, kept) {
			t.Fatal("masking changed the caller's payload")
		}
		in := bytes.NewReader(out[len("before"):])
		for _, want := range []ws.Header{
			{Fin: true, OpCode: ws.OpText, Length: int64(length)},
			{OpCode: ws.OpContinuation, Masked: true, Mask: testMask, Length: int64(length)},
		} {
			got, err := ws.ReadHeader(in)
			if err != nil || got != want {
				t.Fatalf("length %d: header %+v, error %v", length, got, err)
			}
			body := make([]byte, length)
			if _, err := io.ReadFull(in, body); err != nil {
				t.Fatal(err)
			}
			if got.Masked {
				ws.Cipher(body, got.Mask, 0)
			}
			if !bytes.Equal(body, kept) {
				t.Errorf("length %d: payload differs, masked %t", length, want.Masked)
			}
		}
		if in.Len() != 0 {
			t.Errorf("%d bytes too many", in.Len())
		}
	}
}

func TestCloseReasonIsCutBetweenRunes(t *testing.T) {
	for n := range 8 {
		reason := strings.Repeat("x", 118+n) + "€𐍈€𐍈"
		d := Decoder{Client: true}
		m, _, err := d.Next(AppendClose(nil, CodeGoingAway, reason))
		if err != nil {
			t.Fatal(err)
		}
		code, got, err := ParseClose(m.Payload)
		if code != CodeGoingAway || err != nil || !strings.HasPrefix(reason, string(got)) {
			t.Errorf("%d: code %v, reason %q, error %v", n, code, got, err)
		}
		next := reason[len(got):]
		_, size := utf8.DecodeRuneInString(next)
		if len(got)+size <= MaxCloseReason {
			t.Errorf("%d: cut to %d bytes though %q fits", n, len(got), next[:size])
		}
	}
}

func TestCloseWithoutACodeForTheWireHasNoBody(t *testing.T) {
	for _, code := range []Code{0, CodeNoStatus, CodeAbnormal, 1015, 5000} {
		if got := AppendClose(nil, code, "reason"); !bytes.Equal(got, []byte{0x88, 0}) {
			t.Errorf("%v: %x", code, got)
		}
	}
}

func TestControlFramesNoPeerTakesPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"126 bytes":  func() { AppendFrame(nil, OpPing, make([]byte, 126)) },
		"fragmented": func() { AppendHeader(nil, OpPong, false, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestFramesAllocateNothing(t *testing.T) {
	dst, payload := make([]byte, 0, 4096), make([]byte, 1000)
	if allocs := testing.AllocsPerRun(100, func() {
		AppendFrame(dst, OpText, payload)
		AppendMaskedFrame(dst, OpText, true, testMask, payload)
		AppendClose(dst, CodeSlowConsumer, "slow consumer")
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
