package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// violations are byte strings that break a rule, and the close code that says so.
//
//	header byte 0: FIN 0x80, RSV1-3 0x70, opcode; byte 1: mask bit 0x80, length code
var violations = []struct {
	name string
	sent []byte
	code ws.StatusCode
}{
	{"F02_RSV1", frameBytes(0x80|0x40|0x1, 0x80, zeroMask), 1002},
	{"F02_RSV2", frameBytes(0x80|0x20|0x1, 0x80, zeroMask), 1002},
	{"F02_RSV3", frameBytes(0x80|0x10|0x1, 0x80, zeroMask), 1002},
	{"F02_RSV1_on_ping", frameBytes(0x80|0x40|0x9, 0x80, zeroMask), 1002},
	{"F02_RSV1_on_continuation", frameBytes(masked(ws.OpText, false, "a"), 0x80|0x40, 0x80, zeroMask), 1002},
	{"F05_opcode_3", frameBytes(0x83, 0x80, zeroMask), 1002},
	{"F05_opcode_4", frameBytes(0x84, 0x80, zeroMask), 1002},
	{"F05_opcode_5", frameBytes(0x85, 0x80, zeroMask), 1002},
	{"F05_opcode_6", frameBytes(0x86, 0x80, zeroMask), 1002},
	{"F05_opcode_7", frameBytes(0x87, 0x80, zeroMask), 1002},
	{"F05_opcode_B", frameBytes(0x8B, 0x80, zeroMask), 1002},
	{"F05_opcode_C", frameBytes(0x8C, 0x80, zeroMask), 1002},
	{"F05_opcode_D", frameBytes(0x8D, 0x80, zeroMask), 1002},
	{"F05_opcode_E", frameBytes(0x8E, 0x80, zeroMask), 1002},
	{"F05_opcode_F", frameBytes(0x8F, 0x80, zeroMask), 1002},
	{"F06_ping_of_126_bytes", frameBytes(0x89, 0x80|126, 0, 126, zeroMask, strings.Repeat("p", 126)), 1002},
	{"F08_length_MSB", frameBytes(0x82, 0x80|127, 0x80, 0, 0, 0, 0, 0, 0, 1, zeroMask), 1002},
	{"F09_length_2_to_62", frameBytes(0x82, 0x80|127, 0x40, 0, 0, 0, 0, 0, 0, 0, zeroMask, "ab"), 1009},
	{"F11_16_bit_length_of_2", frameBytes(0x82, 0x80|126, 0, 2, zeroMask, "ab"), 1002},
	{"F11_64_bit_length_of_2", frameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0, 0, 2, zeroMask, "ab"), 1002},
	{"F11_64_bit_length_of_65535", frameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, zeroMask), 1002},
	{"F20_bad_byte", maskedText("ok \xff"), 1007},
	{"F20_bad_byte_and_no_end", frameBytes(0x81, 0x80|100, zeroMask, "ok \xff"), 1007},
	{"F20_bad_byte_in_unfinished_message", masked(ws.OpText, false, "ok \xc0"), 1007},
	{"F20_rune_cut_short", maskedText("caf\xc3"), 1007},
	{"F20_rune_broken_by_fragment", frameBytes(masked(ws.OpText, false, "\xe2\x82"), masked(ws.OpContinuation, true, "a")), 1007},
	{"F20_surrogate", maskedText("\xed\xa0\x80"), 1007},
	{"F20_overlong_slash", maskedText("\xc0\xaf"), 1007},
	{"F20_overlong_NUL_in_4", maskedText("\xf0\x80\x80\x80"), 1007},
	{"F20_above_10FFFF", maskedText("\xf4\x90\x80\x80"), 1007},
	{"F26_code_5000", maskedClose(5000, ""), 1002},
	{"F26_code_65535", maskedClose(65535, ""), 1002},
	{"F26_code_0", maskedClose(0, ""), 1002},
	{"F26_code_999", maskedClose(999, ""), 1002},
	{"F26_code_1004", maskedClose(1004, ""), 1002},
	{"F26_code_1005", maskedClose(1005, ""), 1002},
	{"F26_code_1006", maskedClose(1006, ""), 1002},
	{"F26_code_1015", maskedClose(1015, ""), 1002},
	{"F26_code_2999", maskedClose(2999, ""), 1002},
	{"F26_body_of_1_byte", masked(ws.OpClose, true, "x"), 1002},
	{"F26_reason_not_UTF8", maskedClose(1000, "\xff"), 1007},
	{"no_mask", frameBytes(0x81, 2, "hi"), 1002},
	{"fragmented_ping", masked(ws.OpPing, false, "p"), 1002},
	{"continuation_of_nothing", masked(ws.OpContinuation, true, "c"), 1002},
	{"message_inside_a_message", frameBytes(masked(ws.OpText, false, "a"), masked(ws.OpText, true, "b")), 1002},
}

func TestViolationClosesItsSenderAloneAfterWhatWasValid(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	witness := dial(t, addr, "/ws")
	for _, tc := range violations {
		t.Run(tc.name, func(t *testing.T) {
			c := join(t, addr, "/ws")
			c.send(maskedText("before"), masked(ws.OpPing, true, "alive"), tc.sent)
			expectBoth(c, "before", "alive")
			c.expectClose(tc.code)
			expectText(t, witness, "before")
		})
		t.Run(tc.name+"/byte_by_byte", func(t *testing.T) {
			c := join(t, addr, "/ws")
			for _, b := range append(maskedText("before"), tc.sent...) {
				c.trySend([]byte{b}) // The gateway may have seen enough before the last one.
			}
			c.expectFrame(ws.OpText, "before")
			c.expectClose(tc.code)
			expectText(t, witness, "before")
		})
	}
	other := join(t, addr, "/ws")
	other.send(maskedText("unharmed"))
	expectText(t, witness, "unharmed")
	eventually(t, "the violators are gone", func() bool { return s.Open() == 2 })
	st := statsOf(t, s)
	if n := st.Closed[ClosedProtocol] + st.Closed[ClosedNotUTF8] + st.Closed[ClosedTooBig]; n != uint64(2*len(violations)) {
		t.Errorf("%d counted as violations, want %d", n, 2*len(violations))
	}
}

// The header tells all there is to know: nothing is set aside for a message that will not come.
func TestF09_HugeLengthCostsNothing(t *testing.T) {
	const clients = 100
	_, addr := startGateway(t, testConfig())
	var all []*rawClient
	for range clients {
		all = append(all, join(t, addr, "/ws"))
	}
	before := liveHeap()
	for _, c := range all {
		// 1 MiB is within the limit, so these are waited for. They are to cost what has come, not what was announced.
		c.send(masked(ws.OpPing, true, ""), frameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0x10, 0, 0, zeroMask, "ab"))
		c.expectFrame(ws.OpPong, "")
	}
	if each := (liveHeap() - before) / clients; each > 4<<10 {
		t.Errorf("an announced message of 1 MiB costs %d bytes", each)
	}
}

func TestF15_FragmentsOverTheLimitAreTooBigWhenTheSumPassesIt(t *testing.T) {
	cfg := testConfig()
	_, addr := startGateway(t, cfg)
	witness := dial(t, addr, "/ws")
	c := join(t, addr, "/ws")
	part := strings.Repeat("f", 1100)
	fit := int(cfg.MaxMessage) / len(part)
	c.send(masked(ws.OpText, false, part))
	for range fit - 1 {
		c.send(masked(ws.OpContinuation, false, part))
	}
	c.send(masked(ws.OpPing, true, "still here"))
	c.expectFrame(ws.OpPong, "still here")
	for range 1000 - fit {
		c.trySend(masked(ws.OpContinuation, false, part))
	}
	c.expectClose(1009)
	other := join(t, addr, "/ws", maskedText("nothing before this"))
	expectText(t, witness, "nothing before this")
	other.Close()
}

func TestF18_PingBetweenFragmentsIsAnsweredAtOnce(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := join(t, addr, "/ws")
	c.send(masked(ws.OpText, false, "one "), masked(ws.OpPing, true, "a"))
	c.expectFrame(ws.OpPong, "a")
	c.send(masked(ws.OpContinuation, false, "two "))
	c.send(masked(ws.OpPing, true, "b"))
	c.expectFrame(ws.OpPong, "b")
	c.send(masked(ws.OpContinuation, true, "three"))
	c.expectFrame(ws.OpText, "one two three")
}

func TestF20_RuneMaySpanFragments(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := join(t, addr, "/ws")
	const text = "κόσμε 🙂"
	c.send(masked(ws.OpText, false, text[:1]))
	for i := 1; i < len(text); i++ {
		c.send(masked(ws.OpContinuation, false, text[i:i+1]))
	}
	c.send(masked(ws.OpContinuation, true, ""))
	c.expectFrame(ws.OpText, text)
}

func TestF23_PongCarriesThePingsBody(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := join(t, addr, "/ws")
	for _, body := range []string{"", "x", strings.Repeat("p", 125), "\x00\xff\xfe"} {
		c.send(masked(ws.OpPing, true, body))
		c.expectFrame(ws.OpPong, body)
	}
}

func TestF24_UnsolicitedPongsAreIgnored(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := join(t, addr, "/ws")
	c.send(bytes.Repeat(masked(ws.OpPong, true, "nobody asked"), 10_000))
	c.send(maskedText("still here"))
	c.expectFrame(ws.OpText, "still here")
}

func TestF27_CloseIsEchoed(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	codes := []ws.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}
	for _, code := range codes {
		c := join(t, addr, "/ws", maskedText("last words"), maskedClose(code, "bye"))
		c.expectFrame(ws.OpText, "last words")
		c.expectClose(code)
	}
	empty := join(t, addr, "/ws", masked(ws.OpClose, true, ""))
	empty.expectClose(0)
	expectClosed(t, s, ClosedByPeer, uint64(len(codes)+1))
}

func TestF29_NothingIsHeardBehindAClose(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	witness := dial(t, addr, "/ws")
	c := join(t, addr, "/ws")
	c.send(maskedText("before"), maskedClose(1000, ""), maskedText("after"), masked(ws.OpPing, true, "p"), maskedClose(1001, ""),
		frameBytes(0xFF, 0xFF))
	c.expectFrame(ws.OpText, "before")
	c.expectClose(1000)
	late := join(t, addr, "/ws")
	late.send(maskedText("later"))
	expectText(t, witness, "before")
	expectText(t, witness, "later")
}

func TestF30_BothCloseAtOnce(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	const clients = 20
	var all []*rawClient
	for range clients {
		all = append(all, join(t, addr, "/ws"))
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	for _, c := range all {
		c.trySend(maskedClose(1000, ""))
	}
	for _, c := range all {
		f := c.frame()
		if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != 1000 && code != 1001 {
			t.Errorf("got %s", describe(f))
		}
		c.expectEnd() // One Close each way, and the gateway ends the connection.
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestF32_EndWithoutACloseIsAbnormal(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := join(t, addr, "/ws")
	c.send(maskedText("before"))
	c.expectFrame(ws.OpText, "before")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.expectEnd() // 1006 is never on the wire.
	expectClosed(t, s, ClosedGone, 1)

	half := join(t, addr, "/ws", masked(ws.OpText, false, "never fini"))
	half.Close()
	expectClosed(t, s, ClosedGone, 2)
	if st := statsOf(t, s); st.Messages != 1 {
		t.Errorf("%d messages, want 1: an unfinished one is none", st.Messages)
	}
}

func TestF35_LargestMessageAndOneByteMore(t *testing.T) {
	cfg := testConfig()
	cfg.MaxMessage = 200_000
	_, addr := startGateway(t, cfg)
	fits := strings.Repeat("m", int(cfg.MaxMessage))
	for _, tc := range []struct {
		name string
		sent []byte
		ok   bool
	}{
		{"whole", masked(ws.OpBinary, true, fits), true},
		{"whole_and_one", masked(ws.OpBinary, true, fits+"m"), false},
		{"fragments", frameBytes(masked(ws.OpBinary, false, fits[:100_000]), masked(ws.OpContinuation, true, fits[100_000:])), true},
		{"fragments_and_one", frameBytes(masked(ws.OpBinary, false, fits[:100_000]), masked(ws.OpContinuation, true, fits[100_000:]+"m")), false},
		{"fragments_and_empty", frameBytes(masked(ws.OpBinary, false, fits), masked(ws.OpContinuation, true, "")), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := join(t, addr, "/ws")
			c.trySend(tc.sent)
			if tc.ok {
				c.expectFrame(ws.OpBinary, fits)
			} else {
				c.expectClose(1009)
			}
		})
	}
}

// A Close frame must reach a client that goes on sending: closing with its bytes unread would reset the connection.
func TestCloseSurvivesWhatIsSentBehindIt(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	for _, behind := range []int{1 << 10, 60 << 10, 200 << 10, 2 << 20} {
		t.Run(fmt.Sprint(behind), func(t *testing.T) {
			c := join(t, addr, "/ws")
			c.trySend(append(frameBytes(0x83, 0x80, zeroMask), make([]byte, behind)...))
			c.expectClose(1002)
		})
	}
}

func TestCloseTellsItsReasonInWords(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := join(t, addr, "/ws", maskedText("\xff"))
	f := c.frame()
	if _, reason := ws.ParseCloseFrameData(f.Payload); reason != "text is not UTF-8" {
		t.Errorf("reason %q", reason)
	}
}
