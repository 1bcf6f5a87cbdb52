package main

import (
	"fmt"
	"strings"
	"time"
)

// limits are scripts about what a client may cost, and how long it may take.
func limits() (all []*script) {
	add := func(name string, flags []string, steps ...step) {
		all = append(all, &script{name: "limit: " + name, flags: flags, steps: steps})
	}
	opened := []step{open("a"), send("a", handshake()), head("a")}
	with := func(steps ...step) []step { return append(append([]step(nil), opened...), steps...) }
	small := []string{"--max-message", "1000"}
	add("message of a small limit", small, with(send("a", message(pattern(1000, 1))), frames(1, "a"), send("a", bye), end("a"))...)
	add("message of a small limit and one", small, with(send("a", message(pattern(1001, 1))), end("a"))...)
	add("message of a small limit and one, its header alone", small, with(send("a", message(pattern(1001, 1))[:8]), end("a"))...)
	add("fragments of a small limit and one", small,
		with(send("a", frame(text, pattern(600, 1)), frame(fin|continuation, pattern(401, 1))), end("a"))...)
	few := []string{"--max-fragments", "3"}
	add("fragments, as many as may be", few, with(send("a", fragments("abc")), frames(1, "a"), send("a", bye), end("a"))...)
	add("fragments, one too many", few, with(send("a", fragments("abcd")), end("a"))...)
	add("fragments, one too many and pings", few,
		with(send("a", frame(text, "a"), frame(fin|ping, ""), frame(continuation, ""), frame(fin|ping, ""), frame(continuation, ""),
			frame(continuation, "")), end("a"))...)
	rates := []string{"--frame-rate", "20"}
	add("frames at a rate", rates, with(send("a", repeat(message("x"), 15)), frames(15, "a"), send("a", bye), end("a"))...)
	add("frames beyond a rate", rates, with(send("a", repeat(frame(fin|pong, ""), 200)), end("a"))...)
	add("fragments beyond a rate", rates, with(send("a", fragments(pattern(300, 1))), end("a"))...)
	add("pings at a rate", []string{"--ping-rate", "10"},
		with(send("a", repeat(frame(fin|ping, ""), 10)), frames(10, "a"), send("a", bye), end("a"))...)
	add("pings beyond a rate", []string{"--ping-rate", "10"}, with(send("a", repeat(frame(fin|ping, "p"), 100)), end("a"))...)
	add("messages beyond a rate wait", []string{"--message-rate", "50"},
		with(send("a", repeat(message("x"), 80)), frames(80, "a"), send("a", bye), end("a"))...)
	add("bytes beyond a rate wait", []string{"--byte-rate", "256KiB"},
		with(send("a", repeat(message(pattern(16384, 1)), 20)), frames(20, "a"), send("a", bye), end("a"))...)
	soon := []string{"--handshake-timeout", "200ms", "--assembly-timeout", "250ms"}
	add("no request in time", soon, open("a"), end("a"))
	add("half a request in time", soon, open("a"), send("a", handshake()[:50]), end("a"))
	add("half a frame in time", soon, with(send("a", message("unfinished")[:8]), end("a"))...)
	add("half a message in time", soon, with(send("a", frame(text, "unfinished")), end("a"))...)
	add("half a message in time, and pings", soon, with(send("a", frame(text, "unfinished"), frame(fin|ping, "")), end("a"))...)
	silent := []string{"--ping-interval", "250ms", "--pong-timeout", "200ms"}
	add("no answer to a ping", silent, with(end("a"))...)
	add("no answer to a ping, end of stream", []string{"--ping-interval", "250ms", "--pong-timeout", "1h"},
		with(frames(1, "a"), halfClose("a"), end("a"))...)
	add("an answer to a ping", []string{"--ping-interval", "250ms", "--pong-timeout", "1h"},
		with(frames(1, "a"), send("a", frame(fin|pong, "")), send("a", bye), end("a"))...)
	assembly := []string{"--assembly-memory", "2000", "--max-message", "1000", "--loops", "1"}
	add("unfinished messages within memory", assembly,
		with(send("a", frame(text, pattern(900, 1))), send("a", frame(fin|continuation, "")), frames(1, "a"), send("a", bye),
			end("a"))...)
	return all
}

func repeat(p []byte, n int) []byte { return []byte(strings.Repeat(string(p), n)) }

// rooms are scripts of several clients: who gets what, and in what order.
func rooms() (all []*script) {
	add := func(name string, steps ...step) {
		for _, loops := range []string{"1", "2"} {
			all = append(all, &script{name: "room: " + name + ", loops " + loops, flags: []string{"--loops", loops}, steps: steps})
		}
	}
	enter := func(lines []string, names ...string) (steps []step) {
		for _, name := range names {
			steps = append(steps, open(name), send(name, handshake(lines...)), head(name))
		}
		return steps
	}
	leave := func(names ...string) (steps []step) {
		for _, name := range names {
			steps = append(steps, send(name, bye), end(name))
		}
		return steps
	}
	cat := func(parts ...[]step) (steps []step) {
		for _, p := range parts {
			steps = append(steps, p...)
		}
		return steps
	}
	five := []string{"a", "b", "c", "d", "e"}
	for n := 2; n <= 5; n++ {
		names := five[:n]
		say := func(of ...[]byte) (steps []step) {
			for i, said := range of {
				steps = append(steps, send(names[i%n], said), frames(1, names...))
			}
			return steps
		}
		add(fmt.Sprint(n, ", each says one"), cat(enter(nil, names...),
			say(message("1"), message("2"), message("3"), message("4"), message("5")), leave(names...))...)
		add(fmt.Sprint(n, ", hundred at once"), cat(enter(nil, names...), []step{send("a", hundred()), frames(100, names...)},
			leave(names...))...)
		add(fmt.Sprint(n, ", hundred in turn by bytes"),
			cat(enter(nil, names...), []step{sendIn("b", bytewise, hundred()), frames(100, names...)}, leave(names...))...)
		add(fmt.Sprint(n, ", large ones"), cat(enter(nil, names...),
			say(message(pattern(1<<20, 1)), message("small"), frame(fin|binaryOp, pattern(300000, 2))), leave(names...))...)
		add(fmt.Sprint(n, ", all compressing"), cat(enter([]string{offer}, names...),
			say(message(pattern(1000, 1)), message("small"), frame(fin|binaryOp, pattern(50000, 2))), leave(names...))...)
		add(fmt.Sprint(n, ", some compressing"), cat(enter([]string{offer}, "a"), enter(nil, names[1:]...),
			say(message(pattern(1000, 1)), message(pattern(2000, 2)), message("small"), message(pattern(300000, 3))),
			leave(names...))...)
		add(fmt.Sprint(n, ", one leaves"), cat(enter(nil, names...), say(message("1")), leave("b"),
			[]step{send("a", message("2")), frames(1, "a"), frames(1, names[2:]...)}, leave("a"), leave(names[2:]...))...)
		add(fmt.Sprint(n, ", one comes later"), cat(enter(nil, names[:n-1]...),
			[]step{send("a", message("1")), frames(1, names[:n-1]...)},
			enter(nil, names[n-1]), say(message("2"), message("3")), leave(names...))...)
		add(fmt.Sprint(n, ", one comes later and compresses"),
			cat(enter(nil, names[:n-1]...), []step{send("a", message(pattern(1000, 1))), frames(1, names[:n-1]...)},
				enter([]string{offer}, names[n-1]), say(message(pattern(1000, 2)), message("3")), leave(names...))...)
	}
	add("one breaks the rules", cat(enter(nil, "a", "b"),
		[]step{send("b", join(message("1"), []byte{0xFF})), end("b"), frames(1, "a"), send("a", message("2")), frames(1, "a")},
		leave("a"))...)
	add("one vanishes", cat(enter(nil, "a", "b"),
		[]step{send("b", message("1")), frames(1, "a", "b"), reset("b"), send("a", message("2")), frames(1, "a")}, leave("a"))...)
	add("one ends its stream", cat(enter(nil, "a", "b"), []step{halfClose("b"), end("b"), send("a", message("1")), frames(1, "a")},
		leave("a"))...)
	add("one pings", cat(enter(nil, "a", "b"),
		[]step{send("b", frame(fin|ping, "mine")), frames(1, "b"), send("a", message("1")), frames(1, "a", "b")},
		leave("a", "b"))...)
	add("one is in the middle of a message", cat(enter(nil, "a", "b"), []step{
		send("b", frame(text, "half")), send("a", message("1")), frames(1, "a", "b"),
		send("b", frame(fin|continuation, " and half")), frames(1, "a", "b"),
	}, leave("a", "b"))...)
	add("two rooms", cat(enter(nil, "a"), []step{
		open("b"), send("b", handshakeAt("/ws/{room}-2")), head("b"), open("c"), send("c", handshakeAt("/ws/{room}-2")), head("c"),
		send("a", message("one")), frames(1, "a"), send("b", message("two")), frames(1, "b", "c"),
	}, leave("a", "b", "c"))...)
	add("left and entered again", cat(enter(nil, "a"), []step{send("a", message("1")), frames(1, "a")}, leave("a"),
		enter(nil, "b"), []step{send("b", message("2")), frames(1, "b")}, leave("b"))...)
	add("percent-encoded name is the same room", cat(enter(nil, "a"), []step{
		open("b"), send("b", handshakeAt("/%77s/{room}")), head("b"), send("b", message("1")), frames(1, "a", "b"),
	}, leave("a", "b"))...)
	add("early message of one who comes", cat(enter(nil, "a"), []step{
		open("b"), send("b", join(handshake(), message("early"))), frames(1, "a"), head("b"), frames(1, "b"),
	}, leave("a", "b"))...)
	return all
}

// slow are scripts of a client that does not read while more is said than its room keeps.
func slow() (all []*script) {
	numbered := func(i int) []byte { return message(fmt.Sprintf("%08d%s", i, pattern(16<<10-8, i))) }
	begin := []step{
		openDeaf("slow"), send("slow", handshake()), head("slow"), open("fast"), send("fast", handshake()),
		head("fast"),
	}
	for i := range 300 {
		begin = append(begin, send("fast", numbered(i)), frames(1, "fast"))
	}
	for _, policy := range []string{"disconnect", "skip", "latest"} {
		steps := append([]step(nil), begin...)
		steps = append(steps, listen("slow"))
		if policy == "disconnect" {
			steps = append(steps, end("slow"))
		} else {
			last := send("fast", message("00000300"))
			steps = append(steps, until("slow", []byte("00000299")), last, until("slow", []byte("00000300")), send("slow", bye), end("slow"))
		}
		all = append(all, &script{
			name: "slow: " + policy, isShape: true,
			flags: []string{
				"--slow-policy", policy, "--room-backlog", "256KiB", "--max-message", "64KiB", "--publish-window",
				"64KiB", "--send-buffer", "16KiB",
			},
			steps: append(steps, send("fast", bye), end("fast")),
		})
	}
	return append(all, &script{
		name: "slow: stalled", isShape: true,
		flags: []string{"--stall-timeout", "300ms", "--close-timeout", "300ms", "--send-buffer", "16KiB"},
		steps: append(begin, pause(time.Second), listen("slow"), end("slow"), send("fast", bye), end("fast")),
	})
}
