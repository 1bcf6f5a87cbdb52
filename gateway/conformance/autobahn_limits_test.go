package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/wstest"
)

// Without -autobahn-full the cases of section 9 have messages of a quarter of the suite's size, and
// a tenth of its round trips.
const (
	autobahnSizePart  = 4
	autobahnCountPart = 10
)

// autobahnPart is the suite's n with -autobahn-full, and otherwise the given part of it.
func autobahnPart(n, part int) int {
	if *autobahnFull {
		return n
	}
	return n / part
}

// The suite's patterns, of which a message is made.
const (
	textPattern   = "BAsd7&jh23"
	binaryPattern = "\x00\xfe\x23\xfa\xf0"
)

// ofPattern repeats a pattern up to n octets.
func ofPattern(pattern string, n int) string { return strings.Repeat(pattern, n/len(pattern)+1)[:n] }

// The suite judges the length of what comes back; here it has to be what was sent, octet for octet.
func TestAutobahn_9(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.MaxMessage, cfg.RoomBacklog = 16<<20, 64<<20
	var groups []autobahnGroup
	var cases []autobahnCase
	add := func(prefix string, plays ...func(*wstest.Client)) {
		groups = append(groups, autobahnGroup{prefix, len(plays)})
		for i, play := range plays {
			cases = append(cases, autobahnCase{fmt.Sprintf("%s.%d", prefix, i+1), play})
		}
	}
	sizes := []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20}
	parts := []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
	chops := []int{64, 128, 256, 512, 1 << 10, 2 << 10}
	trips := []int{0, 16, 64, 256, 1 << 10, 4 << 10}
	add("9.1", each(sizes, func(n int) func(*wstest.Client) {
		return echoes(ws.OpText, ofPattern(textPattern, autobahnPart(n, autobahnSizePart)))
	})...)
	add("9.2", each(sizes, func(n int) func(*wstest.Client) {
		return echoes(ws.OpBinary, ofPattern(binaryPattern, autobahnPart(n, autobahnSizePart)))
	})...)
	add("9.3", each(parts, func(n int) func(*wstest.Client) { return echoesFragments(ws.OpText, "*", n) })...)
	add("9.4", each(parts, func(n int) func(*wstest.Client) { return echoesFragments(ws.OpBinary, "\xfe", n) })...)
	add("9.5", each(chops, func(n int) func(*wstest.Client) { return echoesChopped(ws.OpText, textPattern, n) })...)
	add("9.6", each(chops, func(n int) func(*wstest.Client) { return echoesChopped(ws.OpBinary, binaryPattern, n) })...)
	add("9.7", each(trips, func(n int) func(*wstest.Client) { return roundTrips(ws.OpText, strings.Repeat("*", n)) })...)
	add("9.8", each(trips, func(n int) func(*wstest.Client) { return roundTrips(ws.OpBinary, strings.Repeat("\xfe", n)) })...)
	playAutobahn(t, cfg, groups, cases)
}

func each(of []int, play func(n int) func(*wstest.Client)) (plays []func(*wstest.Client)) {
	for _, n := range of {
		plays = append(plays, play(n))
	}
	return plays
}

// The cases are made where they are played, so that not all of their megabytes live at once.

func echoes(op ws.OpCode, payload string) func(*wstest.Client) {
	return func(c *wstest.Client) {
		clean(inOne(wstest.Masked(op, true, payload)), said{op, payload})(c)
	}
}

// echoesFragments sends 4 MiB in fragments of n octets. The suite's sender ends with an empty one
// where n divides the whole.
func echoesFragments(op ws.OpCode, octet string, n int) func(*wstest.Client) {
	return func(c *wstest.Client) {
		whole := strings.Repeat(octet, autobahnPart(4<<20, autobahnSizePart))
		clean(inOne(autoFragments(op, whole, n)...), said{op, whole})(c)
	}
}

func autoFragments(op ws.OpCode, whole string, n int) [][]byte {
	var parts []string
	for rest := whole; ; rest = rest[n:] {
		if n > len(rest) {
			return wstest.Fragments(op, append(parts, rest)...)
		}
		parts = append(parts, rest[:n])
	}
}

func echoesChopped(op ws.OpCode, pattern string, n int) func(*wstest.Client) {
	return func(c *wstest.Client) {
		payload := ofPattern(pattern, autobahnPart(1<<20, autobahnSizePart))
		clean(chopped(n, wstest.Masked(op, true, payload)), said{op, payload})(c)
	}
}

// roundTrips sends 1,000 messages, each when the one before has come back.
func roundTrips(op ws.OpCode, payload string) func(*wstest.Client) {
	return func(c *wstest.Client) {
		frame := wstest.Masked(op, true, payload)
		for range autobahnPart(1000, autobahnCountPart) {
			c.Send(frame)
			c.ExpectFrame(op, payload)
		}
		closeCleanly(c)
	}
}

func TestAutobahn_10(t *testing.T) {
	whole := strings.Repeat("*", 65536)
	frames := autoFragments(ws.OpText, whole, 1300)
	if want := 65536/1300 + 1; len(frames) != want {
		t.Fatalf("%d fragments, the suite sends %d", len(frames), want)
	}
	playAutobahn(t, gatewaytest.Options(), []autobahnGroup{{"10.1", 1}}, []autobahnCase{
		{"10.1.1", clean(inOne(frames...), echoText(whole))},
	})
}
