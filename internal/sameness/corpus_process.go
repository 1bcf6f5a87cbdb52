package main

import (
	"fmt"
	"syscall"
)

// processes are scripts about the gateway itself: its log, its signals and its end.
func processes() (all []*script) {
	add := func(name string, flags []string, steps ...step) {
		all = append(all, &script{name: "process: " + name, kind: alone, flags: flags, steps: steps})
	}
	in := func(names ...string) (steps []step) {
		for _, name := range names {
			steps = append(steps, open(name), send(name, handshakeAt("/ws/x")), head(name))
		}
		return steps
	}
	term := signal(syscall.SIGTERM)
	add("start and stop", nil)
	add("start and stop, JSON", []string{"--log-format", "json"})
	add("one loop", []string{"--loops", "1"}, append(in("a"), send("a", message("x")), frames(1, "a"), send("a", bye), end("a"))...)
	add("interrupted", nil, append(in("a"), signal(syscall.SIGINT), frames(1, "a"), send("a", closeFrame(1001, "")), end("a"),
		halfClose("a"), exited())...)
	add("several addresses", []string{"--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"})
	add("localhost", []string{"--listen", "localhost:0"}, in("a")...)
	add("all interfaces", []string{"--listen", "0.0.0.0:0"})
	add("unix socket", []string{"--listen", "unix:{dir}/s"},
		append(in("a"), send("a", message("x")), frames(1, "a"), term, end("a"), halfClose("a"), exited())...)
	add("drain, nobody", nil, term, exited())
	add("drain, one", nil, append(in("a"), term, frames(1, "a"), send("a", closeFrame(1001, "")), end("a"), halfClose("a"),
		exited())...)
	add("drain, five", nil, append(in("a", "b", "c", "d", "e"), term, end("a", "b", "c", "d", "e"))...)
	add("drain, behind what was said", nil, append(in("a", "b"), send("a", message("last words")), frames(1, "a", "b"), term,
		end("a", "b"))...)
	add("drain, in a head", nil, open("a"), send("a", handshake()[:20]), open("b"), send("b", request("GET /livez HTTP/1.1", host)),
		page("b"), term, end("a", "b"), halfClose("a"), halfClose("b"), exited())
	add("drain, in a message", nil, append(in("a"), send("a", frame(text, "half"), frame(fin|ping, "")), frames(1, "a"), term,
		end("a"), halfClose("a"), exited())...)
	add("drain, in a frame", nil, append(in("a"), send("a", frame(fin|ping, "")), frames(1, "a"),
		send("a", message("unfinished")[:8]), term, end("a"), halfClose("a"), exited())...)
	add("drain, of clients that stay", []string{"--drain-timeout", "300ms"},
		append(in("a"), term, frames(1, "a"), exited(), end("a"))...)
	add("two signals", []string{"--drain-timeout", "5s"}, append(in("a"), term, logged("draining"), term, exited(), end("a"))...)
	add("aborted for abuse", nil, append(in("a"), send("a", []byte{0xFF, 0xFF}), end("a"), logged("closed for abuse"))...)
	add("not UTF-8", nil, append(in("a"), send("a", message("\xff")), end("a"), logged("closed for abuse"))...)
	add("refused", nil, open("a"), send("a", handshakeAt("/ws/?password")), end("a"), logged("refused"))
	add("refused and said at debug", []string{"--log-level", "debug"}, open("a"), send("a", handshakeAt("/ws/a\"b")), end("a"),
		logged("refused"))
	add("refused, JSON", []string{"--log-format", "json"}, open("a"), send("a", request("POST /ws/x HTTP/1.1", host)), end("a"),
		logged("refused"))
	add("one connection too many", []string{"--max-connections", "2"},
		append(in("a", "b"), open("c"), end("c"), send("a", bye), end("a"), send("b", bye), end("b"))...)
	add("one room too many", []string{"--max-rooms", "1"},
		append(in("a", "b"), open("c"), send("c", handshakeAt("/ws/y")), end("c"), send("a", message("x")), frames(1, "a", "b"))...)
	add("a room for the next", []string{"--max-rooms", "1"},
		append(in("a"), send("a", bye), end("a"), open("b"), send("b", handshakeAt("/ws/y")), head("b"), send("b", bye),
			end("b"))...)
	add("ordinary HTTP is full", []string{"--max-http-connections", "1"},
		open("a"), send("a", request("GET /livez HTTP/1.1", host)), page("a"),
		open("b"), send("b", request("GET /livez HTTP/1.1", host)), end("b"), logged("refused"))
	add("counts", []string{"--loops", "1"}, append(in("a", "b", "c"), send("a", message("one")), frames(1, "a", "b", "c"),
		send("b", message("two")), frames(1, "a", "b", "c"), send("a", bye), end("a"), send("b", bye), end("b"), send("c", bye),
		end("c"))...)
	all = append(all, &script{name: "process: unknown variable", kind: alone, env: []string{"SLUICE_LISTN=:1"}},
		&script{name: "process: memory limit", kind: alone, env: []string{"GOMEMLIMIT=1GiB"}})
	return all
}

// commands are command lines that the gateway does not serve with.
func commands() (all []*script) {
	add := func(name string, env []string, args ...string) {
		all = append(all, &script{name: "command: " + name, kind: command, flags: args, env: env})
	}
	add("help", nil, "--help")
	add("help, short", nil, "-h")
	add("version", nil, "--version")
	add("version, short", nil, "-v")
	add("help, and a flag that is wrong", nil, "--loops=-1", "--help")
	for _, args := range [][]string{
		{"--nonsense"},
		{"--loop", "1"},
		{"argument"},
		{"--loops"},
		{"--log-level", "loud"},
		{"--log-format", "xml"},
		{"--compress=maybe"},
		{"--no-compress=x"},
		{"--max-message", "much"},
		{"--max-message", "2GiB"},
		{"--max-message=-1"},
		{"--max-message", "0"},
		{"--room-backlog", "1MiB"},
		{"--room-backlog", "99999999999GiB"},
		{"--backlog-memory", "1MiB"},
		{"--pinned-memory", "1KiB"},
		{"--assembly-memory", "1KiB"},
		{"--publish-window", "0"},
		{"--publish-window", "1GiB"},
		{"--unsent-buffer", "4GiB"},
		{"--send-buffer", "1GiB"},
		{"--byte-rate", "1KiB"},
		{"--max-fragments", "0"},
		{"--max-connections", "0"},
		{"--max-http-connections", "0"},
		{"--loops", "2000"},
		{"--loops", "x"},
		{"--loops=-1"},
		{"--slow-policy", "wait"},
		{"--room", "nonsense"},
		{"--room", "a=wait"},
		{"--room", "=skip"},
		{"--room", "[=skip"},
		{"--room", "a=skip;b"},
		{"--trusted-proxy", "nonsense"},
		{"--trusted-proxy", "10.0.0.0/99"},
		{"--allow-origin", "nonsense"},
		{"--allow-origin", "https://a/b"},
		{"--listen", "nonsense"},
		{"--listen", "127.0.0.1:99999"},
		{"--listen", "192.0.2.1:0"},
		{"--listen", "unix:/nowhere/s"},
		{"--max-message", "0", "--loops=-1", "--ping-interval", "0s"},
		{"--compress-min", "x"},
	} {
		add(fmt.Sprint(args), nil, args...)
	}
	for _, flag := range []string{"max-per-address", "connect-rate", "max-rooms", "frame-rate", "ping-rate", "message-rate"} {
		add(flag+" below zero", nil, "--"+flag+"=-1")
		add(flag+" is no number", nil, "--"+flag+"=x")
	}
	for _, flag := range []string{
		"handshake-timeout", "assembly-timeout", "ping-interval", "pong-timeout", "stall-timeout", "skip-timeout", "close-timeout",
		"drain-timeout",
	} {
		for _, value := range []string{"0s", "2000h", "soon"} {
			add(flag+" "+value, nil, "--"+flag+"="+value)
		}
	}
	for _, variable := range []string{
		"SLUICE_LOOPS=-1", "SLUICE_MAX_MESSAGE=much", "SLUICE_LOG_LEVEL=loud",
		"SLUICE_COMPRESS=maybe", "SLUICE_ROOM=nonsense", "SLUICE_LISTEN=nonsense",
	} {
		add("variable "+variable, []string{variable})
	}
	add("flag before variable", []string{"SLUICE_LOOPS=-1"}, "--loops=-2")
	return all
}
