package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// violations are byte strings that break a rule, and the close code that says so.
//
//	header byte 0: FIN 0x80, RSV1-3 0x70, opcode; byte 1: mask bit 0x80, length code
var violations = []struct {
	name string
	sent []byte
	code ws.StatusCode
}{
	{"F02_RSV1", wstest.FrameBytes(0x80|0x40|0x1, 0x80, wstest.ZeroMask), 1002},
	{"F02_RSV2", wstest.FrameBytes(0x80|0x20|0x1, 0x80, wstest.ZeroMask), 1002},
	{"F02_RSV3", wstest.FrameBytes(0x80|0x10|0x1, 0x80, wstest.ZeroMask), 1002},
	{"F02_RSV1_on_ping", wstest.FrameBytes(0x80|0x40|0x9, 0x80, wstest.ZeroMask), 1002},
	{"F02_RSV1_on_continuation", wstest.FrameBytes(wstest.Masked(ws.OpText, false, "a"), 0x80|0x40, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_3", wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_4", wstest.FrameBytes(0x84, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_5", wstest.FrameBytes(0x85, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_6", wstest.FrameBytes(0x86, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_7", wstest.FrameBytes(0x87, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_B", wstest.FrameBytes(0x8B, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_C", wstest.FrameBytes(0x8C, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_D", wstest.FrameBytes(0x8D, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_E", wstest.FrameBytes(0x8E, 0x80, wstest.ZeroMask), 1002},
	{"F05_opcode_F", wstest.FrameBytes(0x8F, 0x80, wstest.ZeroMask), 1002},
	{"F06_ping_of_126_bytes", wstest.FrameBytes(0x89, 0x80|126, 0, 126, wstest.ZeroMask, strings.Repeat("p", 126)), 1002},
	{"F08_length_MSB", wstest.FrameBytes(0x82, 0x80|127, 0x80, 0, 0, 0, 0, 0, 0, 1, wstest.ZeroMask), 1002},
	{"F09_length_2_to_62", wstest.FrameBytes(0x82, 0x80|127, 0x40, 0, 0, 0, 0, 0, 0, 0, wstest.ZeroMask, "ab"), 1009},
	{"F11_16_bit_length_of_2", wstest.FrameBytes(0x82, 0x80|126, 0, 2, wstest.ZeroMask, "ab"), 1002},
	{"F11_64_bit_length_of_2", wstest.FrameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0, 0, 2, wstest.ZeroMask, "ab"), 1002},
	{"F11_64_bit_length_of_65535", wstest.FrameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, wstest.ZeroMask), 1002},
	{"F20_bad_byte", wstest.MaskedText("ok \xff"), 1007},
	{"F20_bad_byte_and_no_end", wstest.FrameBytes(0x81, 0x80|100, wstest.ZeroMask, "ok \xff"), 1007},
	{"F20_bad_byte_in_unfinished_message", wstest.Masked(ws.OpText, false, "ok \xc0"), 1007},
	{"F20_rune_cut_short", wstest.MaskedText("caf\xc3"), 1007},
	{"F20_rune_broken_by_fragment", wstest.FrameBytes(wstest.Masked(ws.OpText, false, "\xe2\x82"), wstest.Masked(ws.OpContinuation, true, "a")), 1007},
	{"F20_surrogate", wstest.MaskedText("\xed\xa0\x80"), 1007},
	{"F20_overlong_slash", wstest.MaskedText("\xc0\xaf"), 1007},
	{"F20_overlong_NUL_in_4", wstest.MaskedText("\xf0\x80\x80\x80"), 1007},
	{"F20_above_10FFFF", wstest.MaskedText("\xf4\x90\x80\x80"), 1007},
	{"F26_code_5000", wstest.MaskedClose(5000, ""), 1002},
	{"F26_code_65535", wstest.MaskedClose(65535, ""), 1002},
	{"F26_code_0", wstest.MaskedClose(0, ""), 1002},
	{"F26_code_999", wstest.MaskedClose(999, ""), 1002},
	{"F26_code_1004", wstest.MaskedClose(1004, ""), 1002},
	{"F26_code_1005", wstest.MaskedClose(1005, ""), 1002},
	{"F26_code_1006", wstest.MaskedClose(1006, ""), 1002},
	{"F26_code_1015", wstest.MaskedClose(1015, ""), 1002},
	{"F26_code_2999", wstest.MaskedClose(2999, ""), 1002},
	{"F26_body_of_1_byte", wstest.Masked(ws.OpClose, true, "x"), 1002},
	{"F26_reason_not_UTF8", wstest.MaskedClose(1000, "\xff"), 1007},
	{"no_mask", wstest.FrameBytes(0x81, 2, "hi"), 1002},
	{"fragmented_ping", wstest.Masked(ws.OpPing, false, "p"), 1002},
	{"continuation_of_nothing", wstest.Masked(ws.OpContinuation, true, "c"), 1002},
	{"message_inside_a_message", wstest.FrameBytes(wstest.Masked(ws.OpText, false, "a"), wstest.Masked(ws.OpText, true, "b")), 1002},
}

func TestViolationClosesItsSenderAloneAfterWhatWasValid(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Dial(t, addr, "/ws")
	for _, tc := range violations {
		t.Run(tc.name, func(t *testing.T) {
			c := wstest.Join(t, addr, "/ws")
			c.Send(wstest.MaskedText("before"), wstest.Masked(ws.OpPing, true, "alive"), tc.sent)
			wstest.ExpectBoth(c, "before", "alive")
			c.ExpectClose(tc.code)
			wstest.ExpectText(t, witness, "before")
		})
		t.Run(tc.name+"/byte_by_byte", func(t *testing.T) {
			c := wstest.Join(t, addr, "/ws")
			for _, b := range append(wstest.MaskedText("before"), tc.sent...) {
				c.TrySend([]byte{b}) // The gateway may have seen enough before the last one.
			}
			c.ExpectFrame(ws.OpText, "before")
			c.ExpectClose(tc.code)
			wstest.ExpectText(t, witness, "before")
		})
	}
	other := wstest.Join(t, addr, "/ws")
	other.Send(wstest.MaskedText("unharmed"))
	wstest.ExpectText(t, witness, "unharmed")
	testenv.Eventually(t, "the violators are gone", func() bool { return s.Open() == 2 })
	st := testenv.StatsOf(t, s)
	if n := st.Closed[gateway.ClosedProtocol] + st.Closed[gateway.ClosedNotUTF8] + st.Closed[gateway.ClosedTooBig]; n != uint64(2*len(violations)) {
		t.Errorf("%d counted as violations, want %d", n, 2*len(violations))
	}
}

// The header tells all there is to know: nothing is set aside for a message that will not come.
func TestF09_HugeLengthCostsNothing(t *testing.T) {
	const clients = 100
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	var all []*wstest.Client
	for range clients {
		all = append(all, wstest.Join(t, addr, "/ws"))
	}
	before := testenv.LiveHeap()
	for _, c := range all {
		// 1 MiB is within the limit, so these are waited for. They are to cost what has come, not
		// what was announced.
		c.Send(wstest.Masked(ws.OpPing, true, ""), wstest.FrameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0x10, 0, 0, wstest.ZeroMask, "ab"))
		c.ExpectFrame(ws.OpPong, "")
	}
	if each := (testenv.LiveHeap() - before) / clients; each > 4<<10 {
		t.Errorf("an announced message of 1 MiB costs %d bytes", each)
	}
}

func TestF15_FragmentsOverTheLimitAreTooBigWhenTheSumPassesIt(t *testing.T) {
	cfg := gatewaytest.Options()
	_, addr := gatewaytest.Start(t, cfg)
	witness := wstest.Dial(t, addr, "/ws")
	c := wstest.Join(t, addr, "/ws")
	part := strings.Repeat("f", 1100)
	fit := int(cfg.MaxMessage) / len(part)
	c.Send(wstest.Masked(ws.OpText, false, part))
	for range fit - 1 {
		c.Send(wstest.Masked(ws.OpContinuation, false, part))
	}
	c.Send(wstest.Masked(ws.OpPing, true, "still here"))
	c.ExpectFrame(ws.OpPong, "still here")
	for range 1000 - fit {
		c.TrySend(wstest.Masked(ws.OpContinuation, false, part))
	}
	c.ExpectClose(1009)
	other := wstest.Join(t, addr, "/ws", wstest.MaskedText("nothing before this"))
	wstest.ExpectText(t, witness, "nothing before this")
	other.Close()
}

func TestF18_PingBetweenFragmentsIsAnsweredAtOnce(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws")
	c.Send(wstest.Masked(ws.OpText, false, "one "), wstest.Masked(ws.OpPing, true, "a"))
	c.ExpectFrame(ws.OpPong, "a")
	c.Send(wstest.Masked(ws.OpContinuation, false, "two "))
	c.Send(wstest.Masked(ws.OpPing, true, "b"))
	c.ExpectFrame(ws.OpPong, "b")
	c.Send(wstest.Masked(ws.OpContinuation, true, "three"))
	c.ExpectFrame(ws.OpText, "one two three")
}

func TestF20_RuneMaySpanFragments(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws")
	const text = "κόσμε 🙂"
	c.Send(wstest.Masked(ws.OpText, false, text[:1]))
	for i := 1; i < len(text); i++ {
		c.Send(wstest.Masked(ws.OpContinuation, false, text[i:i+1]))
	}
	c.Send(wstest.Masked(ws.OpContinuation, true, ""))
	c.ExpectFrame(ws.OpText, text)
}

func TestF23_PongCarriesThePingsBody(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws")
	for _, body := range []string{"", "x", strings.Repeat("p", 125), "\x00\xff\xfe"} {
		c.Send(wstest.Masked(ws.OpPing, true, body))
		c.ExpectFrame(ws.OpPong, body)
	}
}

func TestF24_UnsolicitedPongsAreIgnored(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws")
	c.Send(bytes.Repeat(wstest.Masked(ws.OpPong, true, "nobody asked"), 10_000))
	c.Send(wstest.MaskedText("still here"))
	c.ExpectFrame(ws.OpText, "still here")
}

func TestF27_CloseIsEchoed(t *testing.T) {
	t.Parallel()
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	codes := []ws.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}
	for _, code := range codes {
		c := wstest.Join(t, addr, "/ws", wstest.MaskedText("last words"), wstest.MaskedClose(code, "bye"))
		c.ExpectFrame(ws.OpText, "last words")
		c.ExpectClose(code)
	}
	empty := wstest.Join(t, addr, "/ws", wstest.Masked(ws.OpClose, true, ""))
	empty.ExpectClose(0)
	gatewaytest.ExpectClosed(t, s, gateway.ClosedByPeer, uint64(len(codes)+1))
}

func TestF29_NothingIsHeardBehindAClose(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Dial(t, addr, "/ws")
	c := wstest.Join(t, addr, "/ws")
	c.Send(wstest.MaskedText("before"), wstest.MaskedClose(1000, ""), wstest.MaskedText("after"), wstest.Masked(ws.OpPing, true, "p"), wstest.MaskedClose(1001, ""),
		wstest.FrameBytes(0xFF, 0xFF))
	c.ExpectFrame(ws.OpText, "before")
	c.ExpectClose(1000)
	late := wstest.Join(t, addr, "/ws")
	late.Send(wstest.MaskedText("later"))
	wstest.ExpectText(t, witness, "before")
	wstest.ExpectText(t, witness, "later")
}

func TestF30_BothCloseAtOnce(t *testing.T) {
	t.Parallel()
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	const clients = 20
	var all []*wstest.Client
	for range clients {
		all = append(all, wstest.Join(t, addr, "/ws"))
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	for _, c := range all {
		c.TrySend(wstest.MaskedClose(1000, ""))
	}
	for _, c := range all {
		f := c.Frame()
		if code, _ := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || code != 1000 && code != 1001 {
			t.Errorf("got %s", wstest.Describe(f))
		}
		c.ExpectEnd() // One Close each way, and the gateway ends the connection.
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestF32_EndWithoutACloseIsAbnormal(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws")
	c.Send(wstest.MaskedText("before"))
	c.ExpectFrame(ws.OpText, "before")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.ExpectEnd() // 1006 is never on the wire.
	gatewaytest.ExpectClosed(t, s, gateway.ClosedGone, 1)

	half := wstest.Join(t, addr, "/ws", wstest.Masked(ws.OpText, false, "never fini"))
	half.Close()
	gatewaytest.ExpectClosed(t, s, gateway.ClosedGone, 2)
	if st := testenv.StatsOf(t, s); st.Messages != 1 {
		t.Errorf("%d messages, want 1: an unfinished one is none", st.Messages)
	}
}

func TestF35_LargestMessageAndOneByteMore(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.MaxMessage = 200_000
	_, addr := gatewaytest.Start(t, cfg)
	fits := strings.Repeat("m", int(cfg.MaxMessage))
	for _, tc := range []struct {
		name string
		sent []byte
		ok   bool
	}{
		{"whole", wstest.Masked(ws.OpBinary, true, fits), true},
		{"whole_and_one", wstest.Masked(ws.OpBinary, true, fits+"m"), false},
		{"fragments", wstest.FrameBytes(wstest.Masked(ws.OpBinary, false, fits[:100_000]), wstest.Masked(ws.OpContinuation, true, fits[100_000:])), true},
		{"fragments_and_one", wstest.FrameBytes(wstest.Masked(ws.OpBinary, false, fits[:100_000]), wstest.Masked(ws.OpContinuation, true, fits[100_000:]+"m")), false},
		{"fragments_and_empty", wstest.FrameBytes(wstest.Masked(ws.OpBinary, false, fits), wstest.Masked(ws.OpContinuation, true, "")), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := wstest.Join(t, addr, "/ws")
			c.TrySend(tc.sent)
			if tc.ok {
				c.ExpectFrame(ws.OpBinary, fits)
			} else {
				c.ExpectClose(1009)
			}
		})
	}
}

// A Close frame must reach a client that goes on sending: closing with its bytes unread would reset
// the connection.
func TestCloseSurvivesWhatIsSentBehindIt(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, behind := range []int{1 << 10, 60 << 10, 200 << 10, 2 << 20} {
		t.Run(fmt.Sprint(behind), func(t *testing.T) {
			c := wstest.Join(t, addr, "/ws")
			c.TrySend(append(wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask), make([]byte, behind)...))
			c.ExpectClose(1002)
		})
	}
}

func TestCloseTellsItsReasonInWords(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws", wstest.MaskedText("\xff"))
	f := c.Frame()
	if _, reason := ws.ParseCloseFrameData(f.Payload); reason != "text is not UTF-8" {
		t.Errorf("reason %q", reason)
	}
}
