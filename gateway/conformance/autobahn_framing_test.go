package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/wstest"
)

const hello = "Hello, world!"

// notUTF8 is the binary payload of the suite's small cases.
const notUTF8 = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"

// Echoes of every length at which the header changes.
func TestAutobahn_1(t *testing.T) {
	var cases []autobahnCase
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		text := strings.Repeat("*", n)
		cases = append(cases, autobahnCase{fmt.Sprintf("1.1.%d", i+1), clean(inOne(wstest.MaskedText(text)), echoText(text))})
	}
	text := strings.Repeat("*", 65536)
	cases = append(cases, autobahnCase{"1.1.8", clean(chopped(997, wstest.MaskedText(text)), echoText(text))})
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		data := strings.Repeat("\xfe", n)
		cases = append(cases, autobahnCase{fmt.Sprintf("1.2.%d", i+1), clean(inOne(wstest.MaskedBinary(data)), echoBinary(data))})
	}
	data := strings.Repeat("\xfe", 65536)
	cases = append(cases, autobahnCase{"1.2.8", clean(chopped(997, wstest.MaskedBinary(data)), echoBinary(data))})
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"1.1", 8}, {"1.2", 8}}, cases)
}

func TestAutobahn_2(t *testing.T) {
	long := strings.Repeat("\xfe", 125)
	var pings [][]byte
	var pongs []said
	for i := range 10 {
		body := fmt.Sprintf("payload-%d", i)
		pings, pongs = append(pings, wstest.MaskedPing(body)), append(pongs, echoPong(body))
	}
	const unsolicited = "unsolicited pong payload"
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"2", 11}}, []autobahnCase{
		{"2.1", clean(inOne(wstest.MaskedPing("")), echoPong(""))},
		{"2.2", clean(inOne(wstest.MaskedPing(hello)), echoPong(hello))},
		{"2.3", clean(inOne(wstest.MaskedPing(notUTF8)), echoPong(notUTF8))},
		{"2.4", clean(inOne(wstest.MaskedPing(long)), echoPong(long))},
		// One octet more than a control frame may have: failed with 1002.
		{"2.5", closes(1002, inOne(wstest.MaskedPing(long+"\xfe")))},
		{"2.6", clean(chopped(1, wstest.MaskedPing(long)), echoPong(long))},
		// A pong that answers nothing is answered by nothing.
		{"2.7", closes(1000, inOne(wstest.MaskedPong(""), wstest.MaskedClose(1000, "")))},
		{"2.8", closes(1000, inOne(wstest.MaskedPong(unsolicited), wstest.MaskedClose(1000, "")))},
		{"2.9", clean(inOne(wstest.MaskedPong(unsolicited), wstest.MaskedPing("ping payload")), echoPong("ping payload"))},
		// The RFC lets a peer answer the newest alone; the suite wants all ten.
		{"2.10", clean(inOne(pings...), pongs...)},
		{"2.11", clean(chopped(1, pings...), pongs...)},
	})
}

// reserved is a frame with RSV bits, of which RSV1 counts 4.
func reserved(op ws.OpCode, rsv byte, payload string) []byte {
	f := ws.NewFrame(op, true, []byte(payload))
	f.Header.Rsv = rsv
	return ws.MustCompileFrame(ws.MaskFrameInPlace(f))
}

// Reserved bits that no extension gives a meaning: failed at once with 1002, after the echo of what
// was valid; the ping behind it is not answered.
func TestAutobahn_3(t *testing.T) {
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"3", 7}}, []autobahnCase{
		{"3.1", closes(1002, inOne(reserved(ws.OpText, 1, hello)))},
		{"3.2", closes(1002, inOne(wstest.MaskedText(hello), reserved(ws.OpText, 2, hello), wstest.MaskedPing("")), echoText(hello))},
		{"3.3", closes(1002, byFrame(wstest.MaskedText(hello), reserved(ws.OpText, 3, hello), wstest.MaskedPing("")), echoText(hello))},
		{"3.4", closes(1002, chopped(1, wstest.MaskedText(hello), reserved(ws.OpText, 4, hello), wstest.MaskedPing("")), echoText(hello))},
		{"3.5", closes(1002, inOne(reserved(ws.OpBinary, 5, notUTF8)))},
		// The suite describes a ping and sends a binary frame. Here it is a ping, which no other
		// case has.
		{"3.6", closes(1002, inOne(reserved(ws.OpPing, 6, hello)))},
		{"3.7", closes(1002, inOne(reserved(ws.OpClose, 7, "")))},
	})
}

// Reserved opcodes: failed at once with 1002, after the echo of what was valid; the ping behind it
// is not answered.
func TestAutobahn_4(t *testing.T) {
	unknown := func(op ws.OpCode, payload string) []byte { return wstest.Masked(op, true, payload) }
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"4.1", 5}, {"4.2", 5}}, []autobahnCase{
		{"4.1.1", closes(1002, inOne(unknown(3, "")))},
		{"4.1.2", closes(1002, inOne(unknown(4, "reserved opcode payload")))},
		{"4.1.3", closes(1002, inOne(wstest.MaskedText(hello), unknown(5, ""), wstest.MaskedPing("")), echoText(hello))},
		{"4.1.4", closes(1002, inOne(wstest.MaskedText(hello), unknown(6, hello), wstest.MaskedPing("")), echoText(hello))},
		{"4.1.5", closes(1002, chopped(1, wstest.MaskedText(hello), unknown(7, hello), wstest.MaskedPing("")), echoText(hello))},
		{"4.2.1", closes(1002, inOne(unknown(11, "")))},
		{"4.2.2", closes(1002, inOne(unknown(12, "reserved opcode payload")))},
		{"4.2.3", closes(1002, inOne(wstest.MaskedText(hello), unknown(13, ""), wstest.MaskedPing("")), echoText(hello))},
		{"4.2.4", closes(1002, inOne(wstest.MaskedText(hello), unknown(14, hello), wstest.MaskedPing("")), echoText(hello))},
		{"4.2.5", closes(1002, chopped(1, wstest.MaskedText(hello), unknown(15, hello), wstest.MaskedPing("")), echoText(hello))},
	})
}

func TestAutobahn_5(t *testing.T) {
	two := wstest.Fragments(ws.OpText, "fragment1", "fragment2")
	whole := echoText("fragment1fragment2")
	pinged := [][]byte{two[0], wstest.MaskedPing("ping payload"), two[1]}
	pong := echoPong("ping payload")

	last := wstest.Masked(ws.OpContinuation, true, "non-continuation payload")
	more := wstest.Masked(ws.OpContinuation, false, "non-continuation payload")
	stray := func(first []byte) [][]byte {
		message := wstest.Fragments(ws.OpText, "fragment2", "fragment3")
		return [][]byte{first, message[0], message[1], first, message[0], message[1]}
	}
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"5", 20}}, []autobahnCase{
		// Control frames may not be fragmented.
		{"5.1", closes(1002, inOne(wstest.Fragments(ws.OpPing, "fragment1", "fragment2")...))},
		{"5.2", closes(1002, inOne(wstest.Fragments(ws.OpPong, "fragment1", "fragment2")...))},
		{"5.3", clean(inOne(two...), whole)},
		{"5.4", clean(byFrame(two...), whole)},
		{"5.5", clean(chopped(1, two...), whole)},
		// They may come between fragments, and are answered before the message is whole.
		{"5.6", clean(inOne(pinged...), pong, whole)},
		{"5.7", clean(byFrame(pinged...), pong, whole)},
		{"5.8", clean(chopped(1, pinged...), pong, whole)},
		// A continuation of nothing.
		{"5.9", closes(1002, inOne(last, wstest.MaskedText(hello)))},
		{"5.10", closes(1002, byFrame(last, wstest.MaskedText(hello)))},
		{"5.11", closes(1002, chopped(1, last, wstest.MaskedText(hello)))},
		{"5.12", closes(1002, inOne(more, wstest.MaskedText(hello)))},
		{"5.13", closes(1002, byFrame(more, wstest.MaskedText(hello)))},
		{"5.14", closes(1002, chopped(1, more, wstest.MaskedText(hello)))},
		{"5.15", closes(1002, inOne(two[0], two[1], wstest.Masked(ws.OpContinuation, false, "fragment3"), wstest.MaskedText("fragment4")), whole)},
		{"5.16", closes(1002, inOne(stray(wstest.Masked(ws.OpContinuation, false, "fragment1"))...))},
		{"5.17", closes(1002, inOne(stray(wstest.Masked(ws.OpContinuation, true, "fragment1"))...))},
		// A message inside a message.
		{"5.18", closes(1002, inOne(wstest.Masked(ws.OpText, false, "fragment1"), wstest.Masked(ws.OpText, true, "fragment2")))},
		{"5.19", pingsBetweenFragments(inOne)},
		{"5.20", pingsBetweenFragments(byFrame)},
	})
}

// pingsBetweenFragments expects the first pong before more of the message is sent.
func pingsBetweenFragments(cut func(...[]byte) sending) func(*wstest.Client) {
	return func(c *wstest.Client) {
		five := wstest.Fragments(ws.OpText, "fragment1", "fragment2", "fragment3", "fragment4", "fragment5")
		cut(five[0], five[1], wstest.MaskedPing("pongme 1!")).to(c)
		expectSaid(c, echoPong("pongme 1!"))
		clean(cut(five[2], five[3], wstest.MaskedPing("pongme 2!"), five[4]),
			echoPong("pongme 2!"), echoText("fragment1fragment2fragment3fragment4fragment5"))(c)
	}
}
