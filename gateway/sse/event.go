package sse

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// ContentType is what a stream of events is answered with. It is always UTF-8.
const ContentType = "text/event-stream"

// Heartbeat is a comment, which clients drop: it tells proxies and kernels that the stream lives.
const Heartbeat = ":\n\n"

const (
	dataField = "data: "
	emptyData = dataField + "\n"
	binary    = "event: binary\n" + dataField
)

// TextSize is the most that an event of this text takes: less only where a CR and an LF are one
// end.
func TextSize(text []byte) int {
	ends := bytes.Count(text, []byte{'\n'}) + bytes.Count(text, []byte{'\r'})
	return len(text) + (ends+1)*len(dataField) + 2
}

// BinarySize is what an event of n bytes takes.
func BinarySize(n int) int { return len(binary) + base64.StdEncoding.EncodedLen(n) + 2 }

// shortLine is up to how many bytes the end of a line is looked for byte by byte: a megabyte of
// nothing but line ends held its loop for three times as long otherwise.
const shortLine = 4

// AppendText appends the data lines of a text and the end of its event.
func AppendText(dst, text []byte) []byte {
	lf, cr := -1, -1 // the next of each; each is found once, or a text of one sort would cost its square
	for from := 0; ; {
		end, most := from, min(len(text), from+shortLine)
		for end < most && text[end] != '\n' && text[end] != '\r' {
			end++
		}
		if end == from+shortLine {
			if lf < end {
				lf = find(text, end, '\n')
			}
			if cr < end {
				cr = find(text, end, '\r')
			}
			end = min(lf, cr)
		}
		if end == from {
			dst = append(dst, emptyData...)
		} else {
			dst = append(append(append(dst, dataField...), text[from:end]...), '\n')
		}
		if end == len(text) {
			return append(dst, '\n')
		}
		from = end + lineEnd(text[end:])
	}
}

// find is where the next b stands in text, its end if there is none.
func find(text []byte, from int, b byte) int {
	if i := bytes.IndexByte(text[from:], b); i >= 0 {
		return from + i
	}
	return len(text)
}

// lineEnd is how many bytes of the line end that p begins with are one.
func lineEnd(p []byte) int {
	if len(p) > 1 && p[0] == '\r' && p[1] == '\n' {
		return 2
	}
	return 1
}

// AppendBinary appends an event of bytes, in base64 on one line.
func AppendBinary(dst, data []byte) []byte {
	dst = append(dst, binary...)
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, "\n\n"...)
}

// AppendRetry appends for how many milliseconds the client is to wait before it connects again: a
// line of the event that has to follow.
func AppendRetry(dst []byte, milliseconds int) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, int64(milliseconds), 10)
	return append(dst, '\n')
}

// A Farewell is what a stream's last event says: the code and the reason of a WebSocket's Close
// frame.
type Farewell struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// AppendFarewell appends the event of the type "close".
func AppendFarewell(dst []byte, f Farewell) []byte {
	data, _ := json.Marshal(f) // It can fail for nothing that is in it.
	dst = append(dst, "event: close\n"+dataField...)
	return append(append(dst, data...), "\n\n"...)
}
