package wsproto

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// FuzzDecoder holds the Decoder to one outcome for every split, and to what another library's frame
// reader makes of the same bytes for as long as the Decoder accepts them.
func FuzzDecoder(f *testing.F) {
	f.Add(text("hello"))
	f.Add(stream(frame(OpText, false, "κό"), frame(OpPing, true, "p"), frame(OpContinuation, true, "σμε"), text("x")))
	f.Add(stream(frame(OpBinary, true, strings.Repeat("b", 200)), AppendMaskedFrame(nil, OpClose, true, testMask, closeBody(1000, "bye"))))
	f.Add(text("\xed\xa0\x80"))
	f.Add([]byte{0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	f.Add([]byte{0xC1, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		got := everyCut(t, Decoder{Limit: 512}, input)
		want := readWithGobwas(input)
		if len(want) < len(got.Messages) {
			t.Fatalf("decoded %q, the other library %q", got.Messages, want)
		}
		for i, m := range got.Messages {
			if m != want[i] {
				t.Errorf("message %d: %q, the other library %q", i, m, want[i])
			}
		}
		if got.Err == nil && len(want) != len(got.Messages) {
			t.Errorf("no violation, but %d messages of %d", len(got.Messages), len(want))
		}
	})
}

// readWithGobwas joins frames to messages in the plainest way, up to the first frame that is cut
// off. It judges nothing.
func readWithGobwas(input []byte) (messages []string) {
	var op ws.OpCode
	var payload []byte
	in := bytes.NewReader(input)
	for {
		h, err := ws.ReadHeader(in)
		if err != nil || h.Length > int64(in.Len()) {
			return messages
		}
		part := make([]byte, h.Length)
		in.Read(part)
		if h.Masked {
			ws.Cipher(part, h.Mask, 0)
		}
		switch {
		case h.OpCode.IsControl():
			messages = append(messages, fmt.Sprintf("%#x:%s", byte(h.OpCode), part))
			continue
		case h.OpCode != ws.OpContinuation:
			op, payload = h.OpCode, nil
		}
		if payload = append(payload, part...); h.Fin {
			messages = append(messages, fmt.Sprintf("%#x:%s", byte(op), payload))
		}
	}
}

// TestWellFormedStreamsOfAnotherLibraryAreDecoded draws streams of messages, fragmented and
// interleaved with control frames, has gobwas/ws write them, and expects exactly those messages.
func TestWellFormedStreamsOfAnotherLibraryAreDecoded(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var wire bytes.Buffer
		var want outcome
		write := func(op ws.OpCode, fin bool, payload []byte) {
			f := ws.NewFrame(op, fin, bytes.Clone(payload))
			mask := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(r, "mask"))
			if err := ws.WriteFrame(&wire, ws.MaskFrameInPlaceWith(f, mask)); err != nil {
				r.Fatal(err)
			}
		}
		for range rapid.IntRange(0, 5).Draw(r, "messages") {
			op := rapid.SampledFrom([]Opcode{OpText, OpBinary}).Draw(r, "op")
			payload := []byte(rapid.String().Draw(r, "text"))
			if op == OpBinary {
				payload = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "bytes")
			}
			next, rest := ws.OpCode(op), payload
			for rapid.Bool().Draw(r, "split") {
				n := rapid.IntRange(0, len(rest)).Draw(r, "at")
				write(next, false, rest[:n])
				next, rest = ws.OpContinuation, rest[n:]
				if rapid.Bool().Draw(r, "ping") {
					body := rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(r, "body")
					write(ws.OpPing, true, body)
					want.add(Message{Op: OpPing, Payload: body})
				}
			}
			write(next, true, rest)
			want.add(Message{Op: op, Payload: payload})
		}
		got := everyCut(t, Decoder{Limit: 1 << 16}, wire.Bytes())
		if got.Err != nil || fmt.Sprintf("%q", got.Messages) != fmt.Sprintf("%q", want.Messages) {
			r.Fatalf("got %q %v, want %q", got.Messages, got.Err, want.Messages)
		}
	})
}

// FuzzRequest holds the request parser to its promises, and to net/http: what is accepted here must
// mean the same there.
func FuzzRequest(f *testing.F) {
	f.Add(upgrade("GET /ws HTTP/1.1"))
	f.Add(upgrade("GET http://example.com/ws/%41?x=y HTTP/1.9", "Sec-WebSocket-Protocol: a, b", "Origin: https://example.com:443"))
	f.Add(upgrade("POST /ws HTTP/1.0", "Content-Length: 5"))
	f.Add([]byte("GET / HTTP/1.1\n\n"))
	f.Add([]byte("\r\nGET /%00 HTTP/1.1\r\nHost : a\r\n b: c\r\n\r\n"))
	f.Add(head("POST /livez HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"))
	f.Add(head("POST / HTTP/1.1", "Host: a", "Content-Length: 005"))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		end := HeadEnd(input, 0)
		for from := range min(end, 300) {
			if got := HeadEnd(input, from); got != end {
				t.Fatalf("searched to %d: %d, from the start %d", from, got, end)
			}
		}
		head := input[:end]
		startsAlike(t, input, head)
		var plain Request
		if end > 0 && plain.Parse(head) == nil {
			measuresAsNetHTTP(t, &plain, head)
		}
		r, refusal := judge(head)
		for range r.Subprotocols {
		}
		new(OriginPolicy).Lists(r.Header("Origin"))
		new(HostPolicy).IsOwn(r.Host)
		IsSameHost(r.Header("Origin"), r.Host)
		if refusal != nil {
			if refusal.Reason == 0 || refusal.Reason >= NumReasons {
				t.Fatalf("refused without a reason: %+v", refusal)
			}
			return
		}
		if !utf8.Valid(r.Path) || bytes.ContainsFunc(r.Path, func(c rune) bool { return c < ' ' || c == 0x7F }) {
			t.Fatalf("path %q", r.Path)
		}
		if len(r.Target) > 0 && r.Target[0] == '/' && !bytes.HasPrefix(head, []byte("\r\n")) {
			agreesWithNetHTTP(t, r, head)
		}
	})
}

// startsAlike holds CheckStart to find the same however the input comes, and nothing in a head that
// Parse takes.
func startsAlike(t *testing.T, input, head []byte) {
	t.Helper()
	var r Request
	isTaken := len(head) > 0 && r.Parse(head) == nil
	isKnown, first := false, (*Refusal)(nil)
	for n := 1; n <= min(len(input), 300) && !isKnown && first == nil; n++ {
		isKnown, first = r.CheckStart(input[:n], n-1)
		if isLine, atOnce := r.CheckStart(input[:n], 0); isLine != isKnown || atOnce != first {
			t.Fatalf("%q: %t %v in pieces, %t %v at once", input[:n], isKnown, first, isLine, atOnce)
		}
	}
	if isTaken && first != nil {
		t.Fatalf("%q: Parse takes it, CheckStart says %v", head, first)
	}
}

// measuresAsNetHTTP holds a body's length, where there is one, to what net/http makes of the same
// head: two readers of one stream that differ in it are what smuggling needs.
func measuresAsNetHTTP(t *testing.T, r *Request, head []byte) {
	t.Helper()
	length, refusal := r.BodyLength()
	if refusal != nil {
		return
	}
	other, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(head, []byte("\r\n")))))
	if err != nil {
		return // The connection ends there.
	}
	if other.ContentLength != length || len(other.TransferEncoding) > 0 {
		t.Errorf("%d bytes of body, net/http %d %q", length, other.ContentLength, other.TransferEncoding)
	}
}

func agreesWithNetHTTP(t *testing.T, r *Request, head []byte) {
	t.Helper()
	other, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("accepted here, but net/http: %v", err)
	}
	path, err := url.PathUnescape(strings.SplitN(string(r.Target), "?", 2)[0])
	if err != nil || path != string(r.Path) || other.URL.Path != path {
		t.Errorf("path %q, net/http %q, unescaped %q", r.Path, other.URL.Path, path)
	}
	if other.Host != string(r.Host) || other.Header.Get("Sec-WebSocket-Key") != string(r.Key) {
		t.Errorf("host %q and %q, key %q and %q", r.Host, other.Host, r.Key, other.Header.Get("Sec-WebSocket-Key"))
	}
}
