package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

func literally(words string) *regexp.Regexp { return regexp.MustCompile(regexp.QuoteMeta(words)) }

// varying is what differs from run to run, or from build to build.
var varying = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`Date: [^\\]*GMT`), "Date: <date>"},
	{regexp.MustCompile(`\btime=\S+`), "time=<time>"},
	{regexp.MustCompile(`"time":"[^"]*"`), `"time":"<time>"`},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost|\[::1\]|\[::\]|0\.0\.0\.0):\d+`), "$1:<port>"},
	{regexp.MustCompile(`\bticks("?[=:])\d+`), "ticks$1<n>"},
	{regexp.MustCompile(`\bconnections("?[=:])\d+`), "connections$1<n>"},  // some may just be leaving
	{regexp.MustCompile(`Retry-After: [1-8]\\r`), `Retry-After: <1-8>\r`}, // drawn by lot
}

// normal takes out of an answer what may differ. The page names the version, so its length and its
// validator may as well.
func (f *fleet) normal(answer string, g *gateway) string {
	if strings.Contains(answer, f.version) {
		answer = strings.ReplaceAll(answer, f.version, "<version>")
		answer = regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(answer, "Content-Length: <n>")
		answer = regexp.MustCompile(`Etag: \S+`).ReplaceAllString(answer, "Etag: <etag>\\r\\n\"")
	}
	if g != nil {
		answer = strings.ReplaceAll(answer, g.dir, "<dir>")
	}
	for _, v := range varying {
		answer = v.what.ReplaceAllString(answer, v.by)
	}
	return answer
}

// describe writes what a client got, legibly and such that different bytes are written differently.
func describe(got []byte, isShape bool) string {
	var b strings.Builder
	for bytes.HasPrefix(got, []byte("HTTP/")) {
		n := min(responseLength(got), len(got))
		response := got[:n]
		for line := range bytes.Lines(response) {
			fmt.Fprintf(&b, "  %q\n", line)
		}
		got = got[n:]
	}
	if isShape {
		return b.String() + shape(got)
	}
	for len(got) > 0 {
		n := frameLength(got)
		if n < 0 {
			fmt.Fprintf(&b, "  in part: %s\n", quote(got))
			break
		}
		size := frameHeader(got)
		fmt.Fprintf(&b, "  %x %s\n", got[:size], quote(got[size:n]))
		got = got[n:]
	}
	return b.String()
}

// quote writes short bytes out, and of long ones the beginning and a sum.
func quote(p []byte) string {
	const most = 256
	if len(p) <= most {
		return strconv.QuoteToASCII(string(p))
	}
	return fmt.Sprintf("%s and so on, %d bytes, SHA-256 %x", strconv.QuoteToASCII(string(p[:most])), len(p), sha256.Sum256(p))
}

// shape tells whether numbered messages came in order, how many behind the last gap, and what else
// came; of frames that are alike and follow each other the first.
func shape(got []byte) string {
	var b strings.Builder
	last, order := -1, "  rising numbers"
	behind := 0
	var before []byte
	for len(got) > 0 {
		n := frameLength(got)
		if n < 0 {
			b.WriteString("  a frame in part\n")
			break
		}
		size := frameHeader(got)
		number, err := strconv.Atoi(string(got[size:min(n, size+numberDigits)]))
		switch {
		case err == nil && number <= last:
			order = fmt.Sprintf("  %d behind %d", number, last)
		case err == nil && number > last+1:
			last, behind = number, 1
			order = "  rising numbers, but for a gap"
		case err == nil:
			last, behind = number, behind+1
		case !bytes.Equal(got[:n], before):
			fmt.Fprintf(&b, "  %x %s\n", got[:size], quote(got[size:n]))
		}
		before, got = got[:n], got[n:]
	}
	if strings.HasSuffix(order, "gap") {
		order = fmt.Sprintf("%s, %d behind the last", order, behind)
	}
	return order + "\n" + b.String()
}

// numberDigits is how many a numbered message begins with.
const numberDigits = 8

// frameHeader is how long the header of a server's frame is, -1 if it is not whole.
func frameHeader(p []byte) int {
	if len(p) < 2 {
		return -1
	}
	n := 2
	switch p[1] & 0x7F {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if len(p) < n {
		return -1
	}
	return n
}

// frameLength is how long a server's frame is, -1 if it is not whole.
func frameLength(p []byte) int {
	header := frameHeader(p)
	if header < 0 {
		return -1
	}
	n := uint64(p[1] & 0x7F)
	switch header {
	case 4:
		n = uint64(binary.BigEndian.Uint16(p[2:]))
	case 10:
		n = binary.BigEndian.Uint64(p[2:])
	}
	if n > uint64(len(p)-header) {
		return -1
	}
	return header + int(n)
}

var contentLength = regexp.MustCompile(`(?i)\r\nContent-Length: (\d+)\r\n`)

// responseLength is how long an HTTP response is, more than there is if its end has not come. A
// chunked body it takes for none; nobody here asks for one with more behind, nor for HEAD so.
func responseLength(p []byte) int {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return len(p) + 1
	}
	found := contentLength.FindSubmatch(p[:end+2])
	if found == nil {
		return end + 4
	}
	n, _ := strconv.Atoi(string(found[1]))
	return end + 4 + n
}

// difference shows where two answers differ: the lines between what they begin and end with alike.
func difference(a, b string) string {
	left, right := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	var before, context string
	for len(left) > 0 && len(right) > 0 && left[0] == right[0] {
		if before = left[0]; strings.HasPrefix(before, "client ") || strings.HasPrefix(before, "log:") {
			context = before
		}
		left, right = left[1:], right[1:]
	}
	for len(left) > 0 && len(right) > 0 && left[len(left)-1] == right[len(right)-1] {
		left, right = left[:len(left)-1], right[:len(right)-1]
	}
	var out strings.Builder
	fmt.Fprintf(&out, "    %s", context)
	if before != context {
		fmt.Fprintf(&out, "      %s", before)
	}
	writeLines(&out, "-", left)
	writeLines(&out, "+", right)
	return out.String()
}

func writeLines(out *strings.Builder, sign string, lines []string) {
	for _, line := range lines {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			fmt.Fprintf(out, "    %s %s\n", sign, line)
		}
	}
}
