package main

import (
	"compress/flate"
	"fmt"
	"strings"
)

func messages() (all []*script) {
	for _, n := range []int{0, 1, 125, 126, 127, 255, 256, 4096, 16383, 16384, 65535, 65536, 300000, 1 << 20} {
		for _, first := range []byte{fin | text, fin | binaryOp} {
			for _, c := range []cut{whole, bytewise} {
				if c.name == bytewise.name && first == fin|binaryOp {
					continue
				}
				all = append(all, one(fmt.Sprintf("message: %x of %d", first, n), c, frame(first, pattern(n, n)), 1, true))
			}
		}
	}
	for _, m := range []struct {
		name    string
		said    []byte
		answers int
	}{
		{"two at once", join(message("one"), message("two")), 2},
		{"hundred at once", hundred(), 100},
		{"ping", frame(fin|ping, ""), 1},
		{"ping with payload", frame(fin|ping, "hello"), 1},
		{"ping of 125", frame(fin|ping, pattern(125, 1)), 1},
		{"ping with bytes that are no text", frame(fin|ping, "\xff\xfe\x00"), 1},
		{"three pings", join(frame(fin|ping, "1"), frame(fin|ping, "2"), frame(fin|ping, "3")), 3},
		{"unasked pong", join(frame(fin|pong, "x"), message("x")), 1},
		{"unasked pong of 125", join(frame(fin|pong, pattern(125, 1)), message("x")), 1},
		{"two fragments", join(frame(text, "one "), frame(fin|continuation, "two")), 1},
		{"three binary fragments", join(frame(binaryOp, "\xff"), frame(continuation, "\xfe"), frame(fin|continuation, "\xfd")), 1},
		{"empty fragments", join(frame(text, ""), frame(continuation, ""), frame(fin|continuation, "")), 1},
		{"empty last fragment", join(frame(text, "x"), frame(fin|continuation, "")), 1},
		{"ping between fragments", join(frame(text, "one "), frame(fin|ping, "p"), frame(fin|continuation, "two")), 2},
		{"pong between fragments", join(frame(text, "one "), frame(fin|pong, "p"), frame(fin|continuation, "two")), 1},
		{"fragments of one byte", fragments("fragmented"), 1},
		{"hundred fragments", fragments(pattern(100, 1)), 1},
		{"large fragments", join(frame(text, pattern(70000, 1)), frame(fin|continuation, pattern(70000, 2))), 1},
		{"fragments up to the limit", join(frame(text, pattern(1<<19, 1)), frame(fin|continuation, pattern(1<<19, 2))), 1},
		{"mask of zeros", append([]byte{fin | text, 0x82, 0, 0, 0, 0}, "hi"...), 1},
	} {
		for _, c := range []cut{whole, bytewise} {
			all = append(all, one("message: "+m.name, c, m.said, m.answers, true))
		}
	}
	// How many pings are answered depends on how many come at once.
	all = append(all, one("message: hundred pings", whole, append(repeat(frame(fin|ping, pattern(100, 1)), 100), bye...), 0, false))
	// In pieces it is chance whether the last pong or the message comes first.
	return append(all, one("message: ping, message, ping", whole, join(frame(fin|ping, "1"), message("x"), frame(fin|ping, "2")), 3,
		true))
}

func hundred() (said []byte) {
	for i := range 100 {
		said = append(said, message(fmt.Sprintf("%08d %s", i, pattern(i*3, i)))...)
	}
	return said
}

// fragments is a text message of as many frames as bytes.
func fragments(payload string) (said []byte) {
	for i := range len(payload) {
		first := byte(continuation)
		if i == 0 {
			first = text
		}
		if i == len(payload)-1 {
			first |= fin
		}
		said = append(said, frame(first, payload[i:i+1])...)
	}
	return said
}

func violations() (all []*script) {
	large := func(n uint64) []byte {
		return []byte{
			fin | text, 0x80 | 127, byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24),
			byte(n >> 16), byte(n >> 8), byte(n),
		}
	}
	for _, v := range []struct {
		name string
		said []byte
	}{
		{"no mask", []byte{fin | text, 2, 'h', 'i'}},
		{"no mask and no payload", []byte{fin | text, 0}},
		{"ping without mask", []byte{fin | ping, 0}},
		{"RSV1", frame(fin|rsv1|text, "x")},
		{"RSV2", frame(fin|0x20|text, "x")},
		{"RSV3", frame(fin|0x10|text, "x")},
		{"RSV1 on a ping", frame(fin|rsv1|ping, "x")},
		{"opcode 3", frame(fin|3, "x")},
		{"opcode 7", frame(fin|7, "x")},
		{"opcode 11", frame(fin|11, "x")},
		{"opcode 15", frame(fin|15, "x")},
		{"ping in fragments", frame(ping, "x")},
		{"close in fragments", frame(closing, "")},
		{"ping of 126", frame(fin|ping, pattern(126, 1))},
		{"close of 126", frame(fin|closing, "\x03\xe8"+pattern(124, 1))},
		{"continuation of nothing", frame(fin|continuation, "x")},
		{"continuation of nothing, more to come", frame(continuation, "x")},
		{"continuation behind a whole message", join(message("x"), frame(fin|continuation, "y"))},
		{"message within a message", join(frame(text, "x"), message("y"))},
		{"fragment within a message", join(frame(text, "x"), frame(text, "y"))},
		{"16-bit length of 125", masked([]byte{fin | text, 0x80 | 126, 0, 125}, pattern(125, 1))},
		{"64-bit length of 65535", large(65535)},
		{"length beyond 63 bits", large(1 << 63)},
		{"length of 2^62", large(1 << 62)},
		{"length of the limit and one", large(1<<20 + 1)},
		{"fragments beyond the limit", join(frame(text, pattern(1<<19, 1)), frame(fin|continuation, pattern(1<<19+1, 2)))},
		{"ones", []byte(strings.Repeat("\xff", 20))},
		{"zeros", make([]byte, 20)},
		{"HTTP", request("GET / HTTP/1.1", host)},
		{"behind a message", join(message("fine"), []byte{fin | 3})},
		{"behind pings", join(frame(fin|ping, "1"), frame(fin|ping, "2"), []byte{fin | 3})},
		{"with a lot behind it", append([]byte{fin | 3}, make([]byte, 30000)...)},
	} {
		for _, c := range []cut{whole, bytewise} {
			all = append(all, one("violation: "+v.name, c, v.said, 0, false))
		}
	}
	return all
}

func closes() (all []*script) {
	for _, code := range []int{
		0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016, 1100, 2000,
		2999, 3000, 3999, 4000, 4008, 4999, 5000, 65535,
	} {
		all = append(all, one(fmt.Sprint("close: ", code), whole, closeFrame(code, "why"), 0, false))
	}
	for _, f := range []struct {
		name string
		said []byte
	}{
		{"empty", frame(fin|closing, "")},
		{"one byte", frame(fin|closing, "\x03")},
		{"no reason", closeFrame(1000, "")},
		{"reason of 123", closeFrame(1000, pattern(123, 1))},
		{"reason that is not UTF-8", closeFrame(1000, "\xff")},
		{"reason cut in a rune", closeFrame(1000, "\xe2\x82")},
		{"reason beyond ASCII", closeFrame(1000, "schluß")},
		{"twice", join(bye, closeFrame(1001, ""))},
		{"message behind it", join(bye, message("too late"))},
		{"violation behind it", join(bye, []byte{0xFF, 0xFF})},
		{"message before it", join(message("in time"), bye)},
		{"hundred messages before it", append(hundred(), bye...)},
		{"ping before it", join(frame(fin|ping, "p"), bye)},
		{"in a fragmented message", join(frame(text, "half"), bye)},
		{"a lot behind it", append(closeFrame(1000, ""), make([]byte, 50000)...)},
	} {
		for _, c := range []cut{whole, bytewise} {
			all = append(all, one("close: "+f.name, c, f.said, 0, false))
		}
	}
	opened := []step{open("a"), send("a", handshake()), head("a")}
	add := func(name string, steps ...step) {
		all = append(all, &script{name: "close: " + name, steps: append(append([]step(nil), opened...), steps...)})
	}
	add("end of stream alone", halfClose("a"), end("a"))
	add("end of stream behind a message", send("a", message("x")), halfClose("a"), end("a"))
	add("end of stream in a frame", send("a", message("half")[:7]), halfClose("a"), end("a"))
	add("end of stream in a message", send("a", frame(text, "half")), halfClose("a"), end("a"))
	add("end of stream behind Close", send("a", bye), halfClose("a"), end("a"))
	return all
}

func texts() (all []*script) {
	for _, t := range []struct{ name, text string }{
		{"two bytes", "\xc3\xa4"},
		{"three bytes", "\xe2\x82\xac"},
		{"four bytes", "\xf0\x9f\x98\x80"},
		{"zero", "\x00"},
		{"last rune", "\xf4\x8f\xbf\xbf"},
		{"no character", "\xef\xbf\xbf"},
		{"mixed", "Hello-µ@ßöäüàá-UTF-8!! κόσμε"},
		{"lone continuation", "\x80"},
		{"cut after one", "\xe2"},
		{"cut after two", "\xe2\x82"},
		{"cut after three", "\xf0\x9f\x98"},
		{"overlong slash", "\xc0\xaf"},
		{"overlong zero", "\xe0\x80\x80"},
		{"surrogate", "\xed\xa0\x80"},
		{"beyond the last rune", "\xf4\x90\x80\x80"},
		{"five bytes", "\xf8\x88\x80\x80\x80"},
		{"0xFF", "\xff"},
		{"wrong after much", pattern(2000, 1) + "\xff" + pattern(2000, 2)},
		{"right behind wrong", "\xc3\x28"},
	} {
		said := map[string][]byte{
			"one frame":    message(t.text),
			"byte a frame": fragments(t.text),
			"more to come": frame(text, t.text),
		}
		for _, form := range []string{"one frame", "byte a frame", "more to come"} {
			if form == "more to come" {
				// Whether it is right so far shows at once, or by what is said of the next frame.
				said[form] = append(said[form], 0xFF)
			}
			for _, c := range []cut{whole, bytewise} {
				if c.name == bytewise.name && form != "one frame" || len(t.text) > 100 && form == "byte a frame" {
					continue
				}
				all = append(all, one("text: "+t.name+", "+form, c, append(said[form], bye...), 0, false))
			}
		}
	}
	all = append(all, one("text: rune across fragments", whole,
		join(frame(text, "\xe2"), frame(fin|ping, ""), frame(continuation, "\x82"), frame(fin|continuation, "\xac")), 2, true))
	return all
}

func compressed() (all []*script) {
	add := func(name string, flags []string, answers int, pieces ...[]byte) {
		for _, c := range []cut{whole, bytewise} {
			s := one("compressed: "+name, c, join(pieces...), answers, answers > 0)
			s.flags = flags
			s.steps[1] = send("a", handshake(offer))
			all = append(all, s)
		}
	}
	z := func(payload string) []byte { return frame(fin|rsv1|text, deflated(payload, flate.BestSpeed)) }
	for _, n := range []int{0, 1, 100, 255, 256, 1000, 40000, 262144, 262145, 1 << 20} {
		add(fmt.Sprint("text of ", n), nil, 1, z(pattern(n, n)))
	}
	hello := deflated("Hello Hello Hello Hello", flate.BestSpeed)
	add("stored", nil, 1, frame(fin|rsv1|text, deflated("stored", flate.NoCompression)))
	add("codes of its own", nil, 1, frame(fin|rsv1|text, deflated(pattern(3000, 3), flate.HuffmanOnly)))
	add("binary", nil, 1, frame(fin|rsv1|binaryOp, hello))
	add("in two frames", nil, 1, frame(rsv1|text, hello[:4]), frame(fin|continuation, hello[4:]))
	add("in two frames with a ping between", nil, 2, frame(rsv1|text, hello[:4]), frame(fin|ping, "p"),
		frame(fin|continuation, hello[4:]))
	add("beside a plain one", nil, 3, z("one one one one"), message("two"), z("three"))
	add("plain but large", nil, 1, message(strings.Repeat("large ", 1000)))
	add("plain and random", nil, 1, frame(fin|binaryOp, string(random(5000))))
	add("ending with a final block", nil, 1, frame(fin|rsv1|text, "\xf2\x48\xcd\xc9\xc9\x07\x00"+"\x00"))
	add("RSV1 on a continuation", nil, 0, frame(rsv1|text, hello[:4]), frame(fin|rsv1|continuation, hello[4:]))
	add("RSV1 on a ping", nil, 0, frame(fin|rsv1|ping, ""))
	add("garbage", nil, 0, frame(fin|rsv1|text, "\xff\xff\xff\xff"))
	add("reserved block", nil, 0, frame(fin|rsv1|text, "\x07"))
	add("distance too far", nil, 0, frame(fin|rsv1|text, "\x4b\x04\x82\x00"))
	add("cut", nil, 0, frame(fin|rsv1|text, hello[:3]))
	add("empty", nil, 0, frame(fin|rsv1|text, ""), bye)
	add("not UTF-8", nil, 0, frame(fin|rsv1|text, deflated("abc\xff", flate.BestSpeed)))
	add("context of the message before", nil, 0, z("Hello there"), frame(fin|rsv1|text, "\x02\x13\x00\x00"))
	add("larger than the limit", nil, 0, z(strings.Repeat("a", 1<<20+1)))
	add("of the limit", nil, 1, z(strings.Repeat("a", 1<<20)))
	add("larger than a small limit", []string{"--max-message", "1000"}, 0, z(strings.Repeat("a", 1001)))
	add("worth it only from 40 bytes", []string{"--compress-min", "40"}, 2,
		message(strings.Repeat("a", 40)), message(strings.Repeat("a", 39)))
	// Small enough that they come back deflated, as many as are surely too many, and few enough
	// that what is left of them is read and dropped.
	bomb := frame(fin|rsv1|text, deflated(strings.Repeat("\x00", 250<<10), flate.BestCompression))
	return append(all, &script{
		name: "compressed: bombs", isShape: true,
		steps: []step{open("a"), send("a", handshake(offer)), head("a"), send("a", repeat(bomb, 200)), end("a")},
	})
}

// random is bytes that do not deflate, always the same.
func random(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x)
	}
	return p
}
