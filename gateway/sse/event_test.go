package sse

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/internal/wstest"
)

// parse reads a stream by the rules, with a reader that shares nothing with this package.
func parse(stream []byte) (all []wstest.Event, e *wstest.Events) {
	e = wstest.ReadEvents(bytes.NewReader(stream))
	for {
		event, err := e.Next()
		if err != nil {
			return all, e
		}
		all = append(all, event)
	}
}

// asText is what becomes of a payload's line ends.
func asText(payload string) string {
	return strings.ReplaceAll(strings.ReplaceAll(payload, "\r\n", "\n"), "\r", "\n")
}

// textMax is the most that an event of the text takes: each byte may be the end of a line.
func textMax(payload string) int { return (len(payload)+1)*(len(dataField)+1) + 1 }

func checkText(t *testing.T, payload string) {
	t.Helper()
	stream := AppendText(nil, []byte(payload))
	if events, _ := parse(stream); len(events) != 1 || events[0] != (wstest.Event{Type: "message", Data: asText(payload)}) {
		t.Errorf("%q became %q, which is %q", payload, stream, events)
	}
	size := TextSize([]byte(payload))
	if less := size - len(stream); less != strings.Count(payload, "\r\n")*(len(dataField)+1) || size > textMax(payload) {
		t.Errorf("%q took %d bytes, of %d and at most %d", payload, len(stream), size, textMax(payload))
	}
}

func TestTextCannotBeginAnotherEvent(t *testing.T) {
	for _, payload := range []string{
		"", "a", "\n", "\r", "\r\n", "\n\n", "\r\r", "\n\r", "\r\n\r\n", "a\nb", "a\n", "\na", "a\r\nb\r\n", " leading", ": comment", "id: 7",
		"\n\nid: evil\nevent: reset\ndata: {}\n\n", "\r\rretry: 1\r\r", "nul\x00nul", "\x00", "data", "\ufeff", "ä\u2028ö\u2029\u0085",
		strings.Repeat("\n", 100), strings.Repeat("\r\n", 100),
	} {
		checkText(t, payload)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\r\nb\n\nid: 1\n\n")
	f.Fuzz(func(t *testing.T, payload string) {
		if utf8.ValidString(payload) {
			checkText(t, payload)
		}
	})
}

func TestBinaryIsBase64OfATypeOfItsOwn(t *testing.T) {
	for _, payload := range [][]byte{{}, {0}, {0xff, '\n', '\r', 0}, bytes.Repeat([]byte{1, 2, 3, 250}, 1000)} {
		events, _ := parse(AppendBinary(nil, payload))
		if len(events) != 1 {
			t.Fatalf("%x became %q", payload, events)
		}
		if n := len(AppendBinary(nil, payload)); n != BinarySize(len(payload)) {
			t.Errorf("%d bytes took %d, want %d", len(payload), n, BinarySize(len(payload)))
		}
		got, err := base64.StdEncoding.DecodeString(events[0].Data)
		if err != nil || !bytes.Equal(got, payload) || events[0].Type != "binary" {
			t.Errorf("%x became %+v, %v", payload, events[0], err)
		}
	}
}

func TestEventsOfOurOwn(t *testing.T) {
	stream := AppendStart(AppendRetry(nil, 1500), "")
	stream = append(stream, Heartbeat...)
	stream = AppendReset(stream, Reset{Reason: "epoch", Position: "abcdefgh:00000000000000000042"})
	stream = AppendReset(stream, Reset{Reason: "overrun", Missed: 7})
	stream = AppendFarewell(stream, Farewell{Code: 4012, Reason: "a\r\n\r\n\"quoted\""})
	events, e := parse(stream)
	const id = "abcdefgh:00000000000000000042"
	want := []wstest.Event{
		{Type: "reset", Data: `{"reason":"epoch","position":"` + id + `"}`, ID: id},
		{Type: "reset", Data: `{"reason":"overrun","missed":7}`},
		{Type: "close", Data: `{"code":4012,"reason":"a\r\n\r\n\"quoted\""}`},
	}
	if len(events) != len(want) || e.Retry != "1500" || e.Beats != 1 {
		t.Fatalf("%q is %+v, %+v", stream, events, e)
	}
	for i := range want {
		if events[i] != want[i] {
			t.Errorf("event %d is %+v, want %+v", i, events[i], want[i])
		}
	}
}

func TestEventsAllocateNothing(t *testing.T) {
	buf, text := make([]byte, 0, 1<<10), []byte("one\ntwo\r\nthree")
	if n := testing.AllocsPerRun(100, func() { buf = AppendBinary(AppendText(buf[:0], text), text) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// An id is written into an event that is there already; whatever the position is, its length is the
// same.
func TestIDIsWrittenIntoItsPlace(t *testing.T) {
	for offset, want := range map[uint64]string{
		0: "abcd2345:00000000000000000000", 1: "abcd2345:00000000000000000001", 1<<64 - 1: "abcd2345:18446744073709551615",
	} {
		event := AppendText(AppendID(nil), []byte("x"))
		PutID(event[IDAt:IDAt+IDLen], "abcd2345", offset)
		events, _ := parse(event)
		if len(events) != 1 || events[0] != (wstest.Event{Type: "message", Data: "x", ID: want}) || ID("abcd2345", offset) != want {
			t.Errorf("%d became %q", offset, event)
		}
	}
	if events, e := parse(AppendStart(AppendRetry(nil, 5), ID("abcd2345", 7))); len(events) != 0 || e.LastID() != "abcd2345:00000000000000000007" {
		t.Errorf("%q, id %q", events, e.LastID())
	}
}
