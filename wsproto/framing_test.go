package wsproto

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Relatives of a length of zero: other ways to write it, doubled, beside or instead of it a
// transfer coding. What a client sends as "no body" is one zero; all else may be read in two ways,
// or is a body.
func TestN01_LengthOfZeroIsNoBody(t *testing.T) {
	for _, line := range []string{"Content-Length: 0", "content-length:0", "CONTENT-LENGTH: \t0 "} {
		wantReason(t, line, upgrade("GET /ws HTTP/1.1", line), 0)
	}
	for _, lines := range [][]string{
		{"Content-Length: 00"},
		{"Content-Length: +0"},
		{"Content-Length: -0"},
		{"Content-Length: 0, 0"},
		{"Content-Length: 0x0"},
		{"Content-Length: 0;"},
		{"Content-Length:"},
		{"Content-Length: 1"},
		{"Content-Length: 0", "Content-Length: 0"},
		{"Content-Length: 0", "Content-Length: 5"},
		{"Content-Length: 0", "Transfer-Encoding: chunked"},
		{"Transfer-Encoding: identity"},
		{"Transfer-Encoding:"},
	} {
		wantReason(t, fmt.Sprintf("%q", lines), upgrade("GET /ws HTTP/1.1", lines...), ReasonBody)
	}
}

// Relatives of a length beside a transfer coding (RFC 9112 §6.1): every pair that two readers may
// measure differently.
func TestN02_BodyHasOneLengthOrNone(t *testing.T) {
	for _, tc := range []struct {
		version string
		lines   string
		length  int64
		reason  Reason
	}{
		{"1.1", "", 0, 0},
		{"1.1", "Content-Length: 0", 0, 0},
		{"1.1", "Content-Length: 5", 5, 0},
		{"1.1", "Content-Length: 005", 5, 0},
		{"1.0", "Content-Length: 5", 5, 0},
		{"1.1", "Content-Length: 999999999999999999", 999999999999999999, 0},
		{"1.1", "Content-Length: 1000000000000000000", 0, ReasonFraming},
		{"1.1", "Content-Length: 18446744073709551617", 0, ReasonFraming},
		{"1.1", "Content-Length: +5", 0, ReasonFraming},
		{"1.1", "Content-Length: -5", 0, ReasonFraming},
		{"1.1", "Content-Length: 5, 5", 0, ReasonFraming},
		{"1.1", "Content-Length: 5 5", 0, ReasonFraming},
		{"1.1", "Content-Length: 0x5", 0, ReasonFraming},
		{"1.1", "Content-Length: 5.0", 0, ReasonFraming},
		{"1.1", "Content-Length: five", 0, ReasonFraming},
		{"1.1", "Content-Length: \xb2", 0, ReasonFraming},
		{"1.1", "Content-Length:", 0, ReasonFraming},
		{"1.1", "Content-Length: 5\nContent-Length: 5", 0, ReasonFraming},
		{"1.1", "Content-Length: 5\ncontent-length: 6", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: chunked", 0, ReasonLength},
		{"1.1", "transfer-encoding:\tChUnKeD ", 0, ReasonLength},
		{"1.0", "Transfer-Encoding: chunked", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: chunked\nContent-Length: 5", 0, ReasonFraming},
		{"1.1", "Content-Length: 0\nTransfer-Encoding: chunked", 0, ReasonFraming},
		{"1.0", "Content-Length: 5\nTransfer-Encoding: chunked", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: identity", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: identity\nContent-Length: 5", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: gzip, chunked", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: chunked, chunked", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: chunked\nTransfer-Encoding: identity", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: xchunked", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: \"chunked\"", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding: chunked;", 0, ReasonFraming},
		{"1.1", "Transfer-Encoding:", 0, ReasonFraming},
		// What is refused with the head.
		{"1.1", "Transfer-Encoding : chunked", 0, ReasonHeader},
		{"1.1", "Content-Length : 5", 0, ReasonHeader},
		{"1.1", "Transfer-Encoding:\n chunked", 0, ReasonHeader},
		{"1.1", "X: a\n\tTransfer-Encoding: chunked", 0, ReasonHeader},
		{"1.1", "Transfer-Encoding: chunked\x00", 0, ReasonHeader},
		{"1.1", "Transfer-Encoding: \x0bchunked", 0, ReasonHeader},
		{"1.1", "X: a\rTransfer-Encoding: chunked", 0, ReasonHeader},
		{"1.1", "\x00Content-Length: 5", 0, ReasonHeader},
		// Names that some readers take for the real ones are others here, and for net/http.
		{"1.1", "Transfer_Encoding: chunked\nContent-Length: 5", 5, 0},
		{"1.1", "X-Content-Length: 5", 0, 0},
	} {
		lines := append([]string{"POST /livez HTTP/" + tc.version, "Host: a"}, strings.Split(tc.lines, "\n")...)
		if tc.lines == "" {
			lines = lines[:2]
		}
		var r Request
		refusal := r.Parse(head(lines...))
		var length int64
		if refusal == nil {
			length, refusal = r.BodyLength()
		}
		var reason Reason
		if refusal != nil {
			reason = refusal.Reason
		}
		if length != tc.length || reason != tc.reason {
			t.Errorf("HTTP/%s %q: %d bytes, %v; want %d, %v", tc.version, tc.lines, length, reason, tc.length, tc.reason)
		}
	}
}

// Relatives: everything else that connects to a port for the wrong reason, by its first bytes.
func TestN11_WhatIsNoRequestIsKnownByItsFirstBytes(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		most        int // how many bytes of it may be needed
		reason      Reason
	}{
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 1, ReasonNotHTTP},
		{"SSLv2", "\x80\x2e\x01\x00\x02", 1, ReasonNotHTTP},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", 20, ReasonNotHTTP},
		{"zeros", "\x00\x00\x00\x00", 1, ReasonNotHTTP},
		{"Redis", "*1\r\n$4\r\nPING\r\n", 1, ReasonNotHTTP},
		{"Redis, inline", "PING\r\n", 5, ReasonNotHTTP},
		{"memcached", "stats\r\n", 6, ReasonNotHTTP},
		{"memcached, binary", "\x80\x0b\x00\x00", 1, ReasonNotHTTP},
		{"SMTP", "EHLO example.test\r\n", 19, ReasonRequestLine},
		{"PROXY, version 1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 36, ReasonRequestLine},
		{"PROXY, version 2", "\r\n\r\n\x00\r\nQUIT\n", 3, ReasonNotHTTP},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 16, ReasonHTTPVersion},
		{"a frame", "\x81\x85abcd", 1, ReasonNotHTTP},
		{"JSON", `{"hello":"world"}`, 1, ReasonNotHTTP},
		{"a message that we take for a method", "hello\x00", 6, ReasonNotHTTP},
		{"no end of it", strings.Repeat("A", 4096), maxMethodBytes + 1, ReasonNotHTTP},
		{"a blank in front", " GET / HTTP/1.1\r\n", 1, ReasonNotHTTP},
		{"two empty lines", "\r\n\r\nGET / HTTP/1.1\r\n", 3, ReasonNotHTTP},
		{"a line feed in front", "\nGET / HTTP/1.1\r\n", 1, ReasonNotHTTP},
		{"a carriage return in front", "\rGET / HTTP/1.1\r\n", 2, ReasonNotHTTP},
		{"no method", "/ HTTP/1.1\r\n", 1, ReasonNotHTTP},
		{"a bad target", "GET ws HTTP/1.1\r\n", 17, ReasonTarget},
		{"a bare line feed", "GET / HTTP/1.1\n", 15, ReasonRequestLine},
		{"an escape", "\x1b[31mGET", 1, ReasonNotHTTP},
	} {
		var r Request
		found := 0
		for n := 1; n <= len(tc.input) && found == 0; n++ {
			isLine, refusal := r.CheckStart([]byte(tc.input[:n]), n-1)
			if isLine {
				t.Errorf("%s: %q is a request line", tc.name, tc.input[:n])
			}
			if refusal == nil {
				continue
			}
			if found = n; refusal.Reason != tc.reason {
				t.Errorf("%s: %v after %d bytes, want %v", tc.name, refusal.Reason, n, tc.reason)
			}
			// Whole, it comes to the same, if only because it is no head.
			if whole := append([]byte(tc.input), "\r\n\r\n"...); r.Parse(whole[:HeadEnd(whole, 0)]) == nil {
				t.Errorf("%s: Parse takes it", tc.name)
			}
			if _, whole := r.CheckStart([]byte(tc.input), 0); whole == nil || whole.Reason != tc.reason {
				t.Errorf("%s at once: %v, want %v", tc.name, whole, tc.reason)
			}
		}
		if found == 0 || found > tc.most {
			t.Errorf("%s: found out after %d bytes, want at most %d", tc.name, found, tc.most)
		}
	}
	for _, good := range []string{
		"GET / HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n", "get /ws HTTP/1.1\r\n", "OPTIONS * HTTP/1.0\r\n", "M-SEARCH /ws HTTP/1.1\r\n",
		"UPDATEREDIRECTREF /ws HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n",
	} {
		var r Request
		for n := range len(good) {
			if isLine, refusal := r.CheckStart([]byte(good[:n]), max(0, n-1)); isLine || refusal != nil {
				t.Errorf("%q: line %t, %v", good[:n], isLine, refusal)
			}
		}
		if isLine, refusal := r.CheckStart([]byte(good), len(good)-1); !isLine || refusal != nil {
			t.Errorf("%q: line %t, %v", good, isLine, refusal)
		}
		if isLine, _ := r.CheckStart([]byte(good+"Host: a\r\n"), 0); !isLine {
			t.Errorf("%q and more: no line", good)
		}
	}
}

// Relatives: the other lists of a handshake. Sec-WebSocket-Version of a request is no list (RFC
// 6455 §11.3.5), so "13," is no 13.
func TestN13_EmptyElementsOfAListAreNothing(t *testing.T) {
	for _, served := range []string{
		"permessage-deflate,", ",permessage-deflate", " , ,\tpermessage-deflate , ,", "permessage-deflate, ,foo", ",x,permessage-deflate",
		strings.Repeat(",", emptyMax) + "permessage-deflate",
	} {
		wantOffer(t, true, served)
	}
	for _, nothing := range []string{"", " ", ",", " ,,", "x,", ",x", strings.Repeat(",", emptyMax-1)} {
		wantOffer(t, false, nothing)
		wantOffer(t, false, nothing, "permessage-deflate; unknown")
	}
	wantOffer(t, true, "", "permessage-deflate", ",")
	// Bounded over all lines together: one more than the last that is served.
	half := strings.Repeat(",", emptyMax/2)
	wantOffer(t, true, half, "permessage-deflate"+half[1:])
	if agreed, refusal := offer(t, half, "permessage-deflate", half); agreed || refusal == nil || refusal.Reason != ReasonExtensions {
		t.Errorf("more than %d empty elements: %t, %v", emptyMax, agreed, refusal)
	}
	valid := without(without(upgrade("GET /ws HTTP/1.1"), "Upgrade"), "Connection")
	for _, list := range []string{"%s,", ",%s", " ,\t, %s ,,", "x,,%s"} {
		with := bytes.Clone(valid[:len(valid)-2])
		with = fmt.Appendf(with, "Upgrade: "+list+"\r\nConnection: "+list+"\r\n\r\n", "websocket", "Upgrade")
		wantReason(t, list, with, 0)
	}
	for _, version := range []string{"13,", ",13", "13,13"} {
		wantReason(t, version, upgradeOf(version), ReasonVersion)
	}
}

// upgradeOf is a handshake of this version.
func upgradeOf(version string) []byte {
	h := without(upgrade("GET /ws HTTP/1.1"), "Sec-WebSocket-Version")
	return append(h[:len(h)-2], "Sec-WebSocket-Version: "+version+"\r\n\r\n"...)
}

func TestKeepsAlive(t *testing.T) {
	for lines, want := range map[string]bool{
		"1.1\nHost: a":                    true,
		"1.1\nHost: a\nConnection: close": false,
		"1.1\nHost: a\nConnection: keep-alive\nconnection: , CLOSE": false,
		"1.1\nHost: a\nConnection: closed":                          true,
		"1.0":                                                       false,
		"1.0\nConnection: keep-alive":                               false,
	} {
		var r Request
		if refusal := r.Parse(head(strings.Split("GET / HTTP/"+lines, "\n")...)); refusal != nil || r.KeepsAlive() != want {
			t.Errorf("%q: %v, %t, want %t", lines, refusal, r.KeepsAlive(), want)
		}
	}
}
