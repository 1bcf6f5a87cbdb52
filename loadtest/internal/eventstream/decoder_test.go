package eventstream

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// pieces cuts a stream in all the ways in which it may come.
func pieces(stream []byte) (all [][][]byte) {
	whole := [][]byte{stream}
	var single [][]byte
	for i := range stream {
		single = append(single, stream[i:i+1])
	}
	all = append(all, whole, single)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var cut [][]byte
		for rest := stream; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1+random.IntN(40)))
			cut = append(cut, rest[:n])
			rest = rest[n:]
		}
		all = append(all, cut)
	}
	return all
}

// read is what a Decoder makes of pieces, as a browser hands it on.
func read(t *testing.T, pieces [][]byte) (all []wstest.Event, lastID string) {
	t.Helper()
	d := Decoder{Limit: 1 << 20}
	for _, p := range pieces {
		for p = bytes.Clone(p); len(p) > 0; { // Nothing is kept of what was given.
			e, n, isEvent, err := d.Next(p)
			if err != nil || n == 0 {
				t.Fatalf("%d used, %v", n, err)
			}
			p = p[n:]
			if !isEvent {
				continue
			}
			if e.HasID {
				lastID = string(e.ID)
			}
			if e.HasData {
				kind := string(e.Type)
				if kind == "" {
					kind = "message"
				}
				all = append(all, wstest.Event{Type: kind, Data: string(e.Data), ID: lastID})
			}
		}
	}
	return all, lastID
}

func check(t *testing.T, stream string) {
	t.Helper()
	var want []wstest.Event
	theirs := wstest.ReadEvents(strings.NewReader(stream))
	for {
		e, err := theirs.Next()
		if err != nil {
			break
		}
		want = append(want, e)
	}
	for _, cut := range pieces([]byte(stream)) {
		got, id := read(t, cut)
		if len(got) != len(want) || id != theirs.LastID() {
			t.Fatalf("%q in %d pieces is %q with id %q, want %q with %q", stream, len(cut), got, id, want, theirs.LastID())
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%q in %d pieces: event %d is %q, want %q", stream, len(cut), i, got[i], want[i])
			}
		}
	}
}

func TestEventsAreReadByTheRulesHoweverTheyCome(t *testing.T) {
	for _, stream := range []string{
		"", "\n", "data: a\n\n", "data:a\n\ndata:  b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r",
		"data: a\n\rdata: b\r\n\ndata: c\r\n\r", "data: one\ndata: two\rdata: three\r\ndata\n\n", "data\n\n", "data:\n\n",
		": beat\n\n:\n\ndata: a\n\n", "retry: 5\nid: e:1\n\nid: e:2\ndata: x\n\n", "id\ndata: x\n\n", "id: a\x00b\ndata: x\n\n",
		"event: reset\nid: e:9\ndata: {}\n\ndata: x\n\n", "\ufeffdata: a\n\n\ufeffdata: b\n\n", "event: lonely\n\ndata: x\n\n",
		"data: cut off\n", "data: cut off", "unknown: x\ndata: y\n\n", "data: " + strings.Repeat("long ", 5000) + "\n\ndata: x\n\n",
	} {
		check(t, stream)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add("id: a:1\ndata: a\r\ndata: b\r\r\n:\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		if len(stream) < 1000 {
			check(t, stream)
		}
	})
}

func TestEventThatDoesNotEndIsAnError(t *testing.T) {
	d := Decoder{Limit: 100}
	for range 100 {
		if _, n, isEvent, err := d.Next([]byte("data: x")); err != nil {
			return
		} else if n != 7 || isEvent {
			t.Fatalf("%d bytes used, event %v", n, isEvent)
		}
	}
	t.Error("700 bytes were held, of 100")
}

func TestWholeEventAllocatesNothing(t *testing.T) {
	d := Decoder{Limit: 1000}
	stream := []byte("id: abcd2345:00000000000000000042\ndata: the quick brown fox\n\n")
	n := testing.AllocsPerRun(100, func() {
		e, n, isEvent, err := d.Next(stream)
		if n != len(stream) || !isEvent || err != nil || string(e.Data) != "the quick brown fox" {
			t.Error(n, isEvent, err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPositionsAreRead(t *testing.T) {
	for id, want := range map[string]Position{
		"abcd2345:00000000000000000042":  {[]byte("abcd2345"), 42},
		"a:b:7":                          {[]byte("a:b"), 7},
		"e:0":                            {[]byte("e"), 0},
		"abcd2345:18446744073709551615":  {}, // So far nobody counts.
		"abcd2345:99999999999999999999":  {},
		"":                               {},
		"42":                             {},
		":42":                            {},
		"e:":                             {},
		"e: 1":                           {},
		"e:1x":                           {},
		"e:-1":                           {},
		"e:1152921504606846976000000000": {},
	} {
		got, isPosition := ParsePosition([]byte(id))
		if isPosition != (want.Epoch != nil) || string(got.Epoch) != string(want.Epoch) || isPosition && got.Offset != want.Offset {
			t.Errorf("%q is %q %d, %v", id, got.Epoch, got.Offset, isPosition)
		}
	}
}

// unchunk is the body in pieces of a chunked one, until it ends.
func unchunk(t *testing.T, pieces [][]byte) (body []byte, end error) {
	t.Helper()
	var c Chunks
	for _, p := range pieces {
		for len(p) > 0 {
			stretch, n, err := c.Next(p)
			if err != nil {
				return body, err
			}
			if n == 0 || len(stretch) == 0 && n != len(p) {
				t.Fatalf("%d of %d bytes used", n, len(p))
			}
			body = append(body, stretch...)
			p = p[n:]
		}
	}
	return body, nil
}

func TestChunksOfTheStandardLibraryAreRead(t *testing.T) {
	var stream bytes.Buffer
	w := httputil.NewChunkedWriter(&stream)
	text := strings.Repeat("data: something\n\n", 300)
	for rest := text; rest != ""; {
		n := 1 + rand.IntN(min(len(rest), 70))
		if _, err := io.WriteString(w, rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	open := bytes.Clone(stream.Bytes())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, cut := range pieces(open) {
		if body, err := unchunk(t, cut); err != nil || string(body) != text {
			t.Fatalf("%d bytes of %d, %v", len(body), len(text), err)
		}
	}
	for _, cut := range pieces(append(stream.Bytes(), "\r\n"...)) {
		if body, err := unchunk(t, cut); !errors.Is(err, errEnded) || string(body) != text {
			t.Fatalf("%d bytes of %d, %v", len(body), len(text), err)
		}
	}
}

func TestMalformedChunksAreRefused(t *testing.T) {
	for _, stream := range []string{"x", "\r\n", ";x\r\n", "-1\r\n", "5\r\nhelloX", "fffffffff\r\n", " 5\r\n"} {
		if _, err := unchunk(t, [][]byte{[]byte(stream)}); !errors.Is(err, errChunk) {
			t.Errorf("%q: %v", stream, err)
		}
	}
	if body, err := unchunk(t, [][]byte{[]byte("5 ;a=b\r\nhello\r\nA;x\r\n0123456789\r\n")}); err != nil || string(body) != "hello0123456789" {
		t.Errorf("%q, %v", body, err)
	}
}
