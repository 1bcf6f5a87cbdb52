package main

import (
	"fmt"
	"sync"
)

// corpus is all scripts.
var corpus = sync.OnceValue(func() (all []*script) {
	for _, part := range []func() []*script{
		handshakes, pages, origins, offers, messages, violations, closes, texts, compressed, limits, rooms, slow, processes,
		commands,
	} {
		all = append(all, part()...)
	}
	return all
})

// one is a script of one client that is in its room, says things, and is closed: by what it said
// or, if goesOn, by its own Close frame after so many frames.
func one(name string, c cut, said []byte, answers int, goesOn bool) *script {
	s := &script{name: name + ", " + c.name, steps: []step{open("a"), send("a", handshake()), head("a"), sendIn("a", c, said)}}
	if goesOn {
		s.steps = append(s.steps, frames(answers, "a"), send("a", bye))
	}
	s.steps = append(s.steps, end("a"))
	return s
}

func handshakes() (all []*script) {
	for _, r := range []struct {
		name string
		head []byte
	}{
		{"method POST", request("POST /ws/x HTTP/1.1", host, up, conn, version, key)},
		{"method HEAD", request("HEAD /ws/x HTTP/1.1", host, up, conn, version, key)},
		{"method lower case", request("get /ws/x HTTP/1.1", host, up, conn, version, key)},
		{"method OPTIONS", request("OPTIONS /ws/x HTTP/1.1", host, up, conn, version, key)},
		{"method is no token", request("G(T /ws/x HTTP/1.1", host, up, conn, version, key)},
		{"no method", request(" /ws/x HTTP/1.1", host, up, conn, version, key)},
		{"empty line", []byte("\r\n\r\n")},
		{"empty line first", append([]byte("\r\n"), handshakeAt("/ws/x")...)},
		{"bare line feeds", []byte("GET /ws/x HTTP/1.1\nHost: a\n\n")},
		{"two words", request("GET /ws/x", host)},
		{"four words", request("GET /ws/x y HTTP/1.1", host)},
		{"two spaces", request("GET  /ws/x HTTP/1.1", host)},
		{"HTTP/1.0", request("GET /ws/x HTTP/1.0", host, up, conn, version, key)},
		{"HTTP/1.2", request("GET /ws/x HTTP/1.2", host, up, conn, version, key)},
		{"HTTP/2.0", request("GET /ws/x HTTP/2.0", host, up, conn, version, key)},
		{"HTTP/0.9", request("GET /ws/x HTTP/0.9", host, up, conn, version, key)},
		{"version is malformed", request("GET /ws/x HTTP/1.a", host, up, conn, version, key)},
		{"HTTP/2 preface", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
		{"TLS hello", append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "\r\n\r\n"...)},
		{"target without slash", handshakeAt("ws/x")},
		{"target is a star", handshakeAt("*")},
		{"target with fragment", handshakeAt("/ws/x#y")},
		{"target absolute", handshakeAt("http://gateway.test/ws/x")},
		{"target percent-encoded", handshakeAt("/ws/%41b")},
		{"target percent-encoded slash", handshakeAt("/ws/a%2Fb")},
		{"target percent-encoded badly", handshakeAt("/ws/%4")},
		{"target percent-encoded zero", handshakeAt("/ws/%00")},
		{"target with query", handshakeAt("/ws/x?token=secret")},
		{"target of 4096", handshakeAt("/ws/x?" + letters(4096-6))},
		{"target of 4097", handshakeAt("/ws/x?" + letters(4097-6))},
		{"target with bytes beyond ASCII", handshakeAt("/ws/\xc3\xa4")},
		{"room empty", handshakeAt("/ws/")},
		{"room is the lobby", handshakeAt("/ws")},
		{"room with slash", handshakeAt("/ws/a/b")},
		{"room is a dot", handshakeAt("/ws/.")},
		{"room is two dots", handshakeAt("/ws/..")},
		{"room is three dots", handshakeAt("/ws/...")},
		{"room of all letters", handshakeAt("/ws/aZ09_.:~-")},
		{"room with a space", handshakeAt("/ws/a%20b")},
		{"room of 128", handshakeAt("/ws/" + letters(128))},
		{"room of 129", handshakeAt("/ws/" + letters(129))},
		{"no Host", request("GET /ws/x HTTP/1.1", up, conn, version, key)},
		{"Host twice", handshakeAt("/ws/x", host)},
		{"Host empty", request("GET /ws/x HTTP/1.1", "Host:", up, conn, version, key)},
		{"Host malformed", request("GET /ws/x HTTP/1.1", "Host: a b", up, conn, version, key)},
		{"Host with port", request("GET /ws/x HTTP/1.1", "Host: [::1]:80", up, conn, version, key)},
		{"no Upgrade", request("GET /ws/x HTTP/1.1", host, conn, version, key)},
		{"Upgrade to something else", request("GET /ws/x HTTP/1.1", host, "Upgrade: h2c", conn, version, key)},
		{"Upgrade list", request("GET /ws/x HTTP/1.1", host, "Upgrade: h2c, WebSocket", conn, version, key)},
		{"Upgrade in two lines", request("GET /ws/x HTTP/1.1", host, "upgrade: h2c", "UPGRADE:websocket", conn, version, key)},
		{"no Connection", request("GET /ws/x HTTP/1.1", host, up, version, key)},
		{"Connection keep-alive", request("GET /ws/x HTTP/1.1", host, up, "Connection: keep-alive", version, key)},
		{"Connection list", request("GET /ws/x HTTP/1.1", host, up, "Connection: keep-alive,upgrade", version, key)},
		{"no version", request("GET /ws/x HTTP/1.1", host, up, conn, key)},
		{"version 8", request("GET /ws/x HTTP/1.1", host, up, conn, "Sec-WebSocket-Version: 8", key)},
		{"version 13 and 8", request("GET /ws/x HTTP/1.1", host, up, conn, "Sec-WebSocket-Version: 13, 8", key)},
		{"version twice", handshakeAt("/ws/x", version)},
		{"no key", request("GET /ws/x HTTP/1.1", host, up, conn, version)},
		{"key twice", handshakeAt("/ws/x", key)},
		{"key of 15 bytes", request("GET /ws/x HTTP/1.1", host, up, conn, version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")},
		{"key not base64", request("GET /ws/x HTTP/1.1", host, up, conn, version, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==")},
		{"key of 17 bytes", request("GET /ws/x HTTP/1.1", host, up, conn, version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=")},
		{"Content-Length", handshakeAt("/ws/x", "Content-Length: 5")},
		{"Content-Length zero", handshakeAt("/ws/x", "Content-Length: 0")},
		{"Transfer-Encoding", handshakeAt("/ws/x", "Transfer-Encoding: chunked")},
		{"subprotocol", handshakeAt("/ws/x", "Sec-WebSocket-Protocol: chat, superchat")},
		{"header without colon", handshakeAt("/ws/x", "nonsense")},
		{"header with space before colon", handshakeAt("/ws/x", "A : b")},
		{"header folded", handshakeAt("/ws/x", "A: b", " c")},
		{"header without name", handshakeAt("/ws/x", ": b")},
		{"header with a zero", handshakeAt("/ws/x", "A: \x00")},
		{"header with a tab", handshakeAt("/ws/x", "A:\tb")},
		{"header beyond ASCII", handshakeAt("/ws/x", "A: \xff")},
		{"128 headers", handshakeAt("/ws/x", many("A: b", 123)...)},
		{"129 headers", handshakeAt("/ws/x", many("A: b", 124)...)},
		{"head of 32768", padded(32768)},
		{"head of 32769", padded(32769)},
		{"head of 40000", padded(40000)},
		{"request line without end", append([]byte("GET /ws/"), letters(40000)...)},
		{"good", handshakeAt("/ws/x")},
		{"cookies", handshakeAt("/ws/x", "Cookie: a=b", "User-Agent: test", "Pragma: no-cache", "Cache-Control: no-cache")},
	} {
		for _, c := range []cut{whole, bytewise} {
			// Where the answer is 101, Close ends it; behind a refusal it is read and dropped.
			all = append(all, &script{
				name:  "handshake: " + r.name + ", " + c.name,
				steps: []step{open("a"), sendIn("a", c, r.head), head("a"), send("a", bye), end("a")},
			})
		}
	}
	for _, c := range []cut{whole, halves, bytewise} {
		all = append(all,
			&script{
				name:  "handshake: frames behind it, " + c.name,
				steps: []step{open("a"), sendIn("a", c, join(handshake(), message("early"), bye)), end("a")},
			},
			&script{
				name:  "handshake: violation behind it, " + c.name,
				steps: []step{open("a"), sendIn("a", c, join(handshake(), []byte{0xFF})), end("a")},
			},
			&script{
				name:  "handshake: refused with bytes behind it, " + c.name,
				steps: []step{open("a"), sendIn("a", c, join(handshakeAt("/ws/"), make([]byte, 10000))), end("a")},
			})
	}
	all = append(all,
		&script{
			name:  "handshake: half a head and no more",
			steps: []step{open("a"), send("a", handshake()[:30]), halfClose("a"), end("a")},
		},
		&script{name: "handshake: nothing and no more", steps: []step{open("a"), halfClose("a"), end("a")}},
		&script{name: "handshake: whole and no more", steps: []step{open("a"), send("a", handshake()), halfClose("a"), end("a")}},
		&script{name: "handshake: open and idle", steps: []step{open("a"), send("a", handshake()), head("a")}},
		&script{
			name: "handshake: reset in the middle leaves others alone",
			steps: []step{
				open("a"), send("a", handshake()), head("a"), open("b"), send("b", handshake()[:40]), reset("b"),
				send("a", message("still here")), frames(1, "a"), send("a", bye), end("a"),
			},
		})
	return all
}

func pages() (all []*script) {
	for _, r := range []struct {
		name string
		head []byte
	}{
		{"page", request("GET / HTTP/1.1", host, "Connection: close")},
		{"page with HEAD", request("HEAD / HTTP/1.1", host, "Connection: close")},
		{"page with POST", request("POST / HTTP/1.1", host, "Content-Length: 0", "Connection: close")},
		{"page with DELETE", request("DELETE / HTTP/1.1", host, "Connection: close")},
		{"page of HTTP/1.0", request("GET / HTTP/1.0")},
		{"livez", request("GET /livez HTTP/1.1", host, "Connection: close")},
		{"livez with HEAD", request("HEAD /livez HTTP/1.1", host, "Connection: close")},
		{"livez with PUT", request("PUT /livez HTTP/1.1", host, "Content-Length: 2", "Connection: close")},
		{"livez with query", request("GET /livez?verbose HTTP/1.1", host, "Connection: close")},
		{"livez that asks for an upgrade", request("GET /livez HTTP/1.1", host, up, conn, version, key, "Connection: close")},
		{"nothing there", request("GET /nothing HTTP/1.1", host, "Connection: close")},
		{"nothing there with POST", request("POST /nothing HTTP/1.1", host, "Content-Length: 0", "Connection: close")},
		{"readyz", request("GET /readyz HTTP/1.1", host, "Connection: close")},
		{"favicon", request("GET /favicon.ico HTTP/1.1", host, "Connection: close")},
		{"index by name", request("GET /index.html HTTP/1.1", host, "Connection: close")},
		{"path that climbs", request("GET /../etc/passwd HTTP/1.1", host, "Connection: close")},
		{"path with two slashes", request("GET //ws/x HTTP/1.1", host, "Connection: close")},
		{"websockets", request("GET /websocket HTTP/1.1", host, up, conn, version, key, "Connection: close")},
		{"path of another case", request("GET /WS/x HTTP/1.1", host, up, conn, version, key, "Connection: close")},
		{"path of ws and more", request("GET /wsx HTTP/1.1", host, "Connection: close")},
		{"no Host", request("GET / HTTP/1.1", "Connection: close")},
		{"Host malformed", request("GET / HTTP/1.1", "Host: a b", "Connection: close")},
		{"header malformed", request("GET / HTTP/1.1", host, "A b", "Connection: close")},
		{"range", request("GET / HTTP/1.1", host, "Range: bytes=0-14", "Connection: close")},
		{"range of nothing", request("GET /livez HTTP/1.1", host, "Range: bytes=5-", "Connection: close")},
		{"expectation", request("POST / HTTP/1.1", host, "Expect: 100-continue", "Content-Length: 3", "Connection: close")},
		{"expectation that is unknown", request("GET / HTTP/1.1", host, "Expect: wonders", "Connection: close")},
		{"chunked body", join(request("POST /livez HTTP/1.1", host, "Transfer-Encoding: chunked", "Connection: close"),
			[]byte("1\r\nx\r\n0\r\n\r\n"))},
		{"connect", request("CONNECT gateway.test:80 HTTP/1.1", host, "Connection: close")},
		{"star", request("OPTIONS * HTTP/1.1", host, "Connection: close")},
	} {
		for _, c := range []cut{whole, halves} {
			all = append(all, &script{
				name:  "http: " + r.name + ", " + c.name,
				steps: []step{open("a"), sendIn("a", c, r.head), end("a")},
			})
		}
	}
	for _, asset := range []string{"app.js", "connection.js", "log.js", "style.css", "favicon.svg", "nothing.js"} {
		all = append(all, &script{
			name:  "http: asset " + asset,
			steps: []step{open("a"), send("a", request("GET /"+asset+" HTTP/1.1", host, "Connection: close")), end("a")},
		})
	}
	livez := request("GET /livez HTTP/1.1", host)
	last := request("GET /livez HTTP/1.1", host, "Connection: close")
	talk := []step{head("a"), send("a", message("after all")), frames(1, "a"), send("a", bye), end("a")}
	return append(all,
		&script{name: "http: kept alive", steps: []step{
			open("a"), send("a", livez), page("a"), send("a", livez), page("a"),
			send("a", last), end("a"),
		}},
		&script{name: "http: two at once", steps: []step{open("a"), send("a", join(livez, last)), end("a")}},
		&script{name: "http: kept alive and idle", steps: []step{open("a"), send("a", livez), page("a")}},
		&script{
			name:  "http: kept alive and half closed",
			steps: []step{open("a"), send("a", livez), page("a"), halfClose("a"), end("a")},
		},
		&script{
			name:  "http: then an upgrade",
			steps: append([]step{open("a"), send("a", livez), page("a"), send("a", handshake())}, talk...),
		},
		&script{
			name:  "http: with an upgrade right behind",
			steps: append([]step{open("a"), send("a", join(livez, handshake())), page("a")}, talk...),
		},
		&script{
			name:  "http: with an upgrade and frames right behind",
			steps: []step{open("a"), send("a", join(livez, handshake(), message("early"), bye)), page("a"), end("a")},
		},
		&script{
			name:  "http: then an upgrade by bytes",
			steps: append([]step{open("a"), send("a", livez), page("a"), sendIn("a", bytewise, handshake())}, talk...),
		},
		&script{
			name: "http: then an upgrade that is refused",
			steps: []step{
				open("a"), send("a", livez), page("a"),
				send("a", request("GET /ws/x HTTP/1.1", host, up, conn, "Sec-WebSocket-Version: 7", key)), end("a"),
			},
		},
		&script{
			name: "http: then an upgrade with a body",
			steps: []step{
				open("a"), send("a", livez), page("a"), send("a", handshakeAt("/ws/x", "Content-Length: 2")),
				send("a", []byte("xx")), end("a"),
			},
		},
		&script{
			name:  "http: then no upgrade at all",
			steps: []step{open("a"), send("a", livez), page("a"), send("a", request("GET /ws HTTP/1.1", host)), end("a")},
		},
		&script{
			name:  "http: then an upgrade that compresses",
			steps: append([]step{open("a"), send("a", livez), page("a"), send("a", handshake(offer))}, talk...),
		},
		&script{
			name:  "http: then an upgrade of a foreign origin",
			steps: []step{open("a"), send("a", livez), page("a"), send("a", handshake("Origin: http://elsewhere.test")), end("a")},
		},
		&script{
			name: "http: unchanged",
			steps: []step{
				open("a"), send("a", request("GET /style.css HTTP/1.1", host, `If-None-Match: "x", *`, "Connection: close")),
				end("a"),
			},
		})
}

func origins() (all []*script) {
	for _, o := range []struct {
		name    string
		flags   []string
		origins []string
	}{
		{"none allowed", nil, []string{
			"http://gateway.test", "https://gateway.test", "http://GATEWAY.test", "http://gateway.test:80",
			"http://gateway.test:8080",
			"http://elsewhere.test", "null", "", "gateway.test", "http://gateway.test/", "http://gateway.test.", "file://",
			"http://a b",
		}},
		{"one allowed", []string{"--allow-origin", "https://app.test"}, []string{
			"https://app.test", "http://app.test", "https://app.test:443", "https://app.test:8443", "https://APP.test",
			"https://app.test.evil",
			"https://sub.app.test", "http://gateway.test", "null",
		}},
		{"any allowed", []string{"--allow-origin", "*"}, []string{"https://elsewhere.test", "null", "nonsense"}},
	} {
		for _, origin := range o.origins {
			all = append(all, &script{
				name: fmt.Sprintf("origin: %s: %q", o.name, origin), flags: o.flags,
				steps: []step{open("a"), send("a", handshake("Origin: "+origin)), head("a"), send("a", bye), end("a")},
			})
		}
	}
	return append(all, &script{
		name:  "origin: twice",
		steps: []step{open("a"), send("a", handshake("Origin: http://gateway.test", "Origin: http://gateway.test")), end("a")},
	})
}

// offers are those of permessage-deflate: what is agreed to shows in the answer's head, and in how
// a message comes back.
func offers() (all []*script) {
	const pmd = "permessage-deflate"
	for _, e := range []string{
		pmd, pmd + "; server_no_context_takeover", pmd + "; client_no_context_takeover",
		pmd + "; server_no_context_takeover; client_no_context_takeover", pmd + "; client_max_window_bits",
		pmd + "; client_max_window_bits=15", pmd + "; client_max_window_bits=8", pmd + "; client_max_window_bits=16",
		pmd + "; client_max_window_bits=7", pmd + "; client_max_window_bits=09", pmd + `; client_max_window_bits="10"`,
		pmd + "; server_max_window_bits=15", pmd + "; server_max_window_bits=14", pmd + "; server_max_window_bits",
		pmd + "; server_max_window_bits=8, " + pmd, pmd + "; unknown", pmd + "; unknown, " + pmd,
		pmd + "; server_no_context_takeover=1",
		pmd + "; server_no_context_takeover; server_no_context_takeover", "x-webkit-deflate-frame",
		"x-webkit-deflate-frame, " + pmd,
		"permessage-bzip2", "PERMESSAGE-DEFLATE", pmd + ";", pmd + ", ", ",", "", ";", pmd + "; =1", pmd + "; a=", pmd + `; a="b`,
		pmd + `; a="b c"`,
		pmd + `; client_max_window_bits="1\0"`, pmd + ";client_max_window_bits ; server_no_context_takeover", "a b",
	} {
		all = append(all, &script{
			name: fmt.Sprintf("offer: %q", e),
			steps: []step{
				open("a"), send("a", handshake("Sec-WebSocket-Extensions: "+e)), head("a"), send("a", message(pattern(600, 1))),
				send("a", bye), end("a"),
			},
		})
	}
	for _, o := range []struct {
		name  string
		flags []string
		more  []string
	}{
		{"in two lines", nil, []string{"Sec-WebSocket-Extensions: x", "Sec-WebSocket-Extensions: permessage-deflate"}},
		{"with compression off", []string{"--no-compress"}, []string{offer}},
		{"of a plain room", []string{"--room", "room*=plain"}, []string{offer}},
		{"of a room that the first rule has plain", []string{"--room", "room*=plain", "--room", "r*=skip"}, []string{offer}},
		{"of a room that the second rule has plain", []string{"--room", "room*=skip", "--room", "r*=plain"}, []string{offer}},
		{"of a room beside plain ones", []string{"--room", "other*=plain"}, []string{offer}},
		{"of a room of rules", []string{"--room", "room*=skip;other*=plain"}, []string{offer}},
	} {
		all = append(all, &script{
			name: "offer: " + o.name, flags: o.flags,
			steps: []step{
				open("a"), send("a", handshake(o.more...)), head("a"), send("a", message(pattern(600, 1))),
				frames(1, "a"), send("a", bye), end("a"),
			},
		})
	}
	return all
}
