package centrifuge

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/centrifugal/protocol"
)

// hears holds what a memory says of an object to what reading it says. The bytes do not stay what
// they were, like those of a connection.
func hears(t *testing.T, m *Memory, f Format, object string) {
	t.Helper()
	buf := []byte(object)
	h := m.Publication(buf)
	for i := range buf {
		buf[i] = 'x'
	}
	room, p, isPublication := f.ParsePublication([]byte(object))
	switch {
	case isPublication != (h != nil):
		t.Errorf("%.200q is a publication: %v, want %v", object, h != nil, isPublication)
	case isPublication && len(object) <= objectMax && (!bytes.Equal(h.Room, room) || !bytes.Equal(h.Text, Text(p.Data)) || h.Offset != p.Offset):
		t.Errorf("%.200q: %q %d %q, want %q %d %q", object, h.Room, h.Offset, h.Text, room, p.Offset, Text(p.Data))
	}
}

// objects are more than a memory has places for.
func objects(t *testing.T, f Format) (all []string) {
	t.Helper()
	var written func(i int, text string) string
	if f == JSON {
		written = func(i int, text string) string {
			return fmt.Sprintf(`{"push":{"channel":"room-%d","pub":{"offset":%-20d,"info":{"client":"c"},"data":"%s"}}}`, i%3, i/3, text)
		}
	} else {
		written = func(i int, text string) string {
			push := &protocol.Push{Channel: fmt.Sprint("room-", i%3), Pub: &protocol.Publication{Offset: uint64(i / 3), Data: protocol.Raw(text)}}
			body, err := protocol.NewProtobufReplyEncoder().Encode(&protocol.Reply{Push: push})
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
	}
	for i := range 4 * placesMax {
		all = append(all, written(i, fmt.Sprint("message ", i/2)))
	}
	for _, size := range []int{objectMax - 200, objectMax, objectMax + 200} {
		all = append(all, written(size, strings.Repeat("x", size)))
	}
	return append(
		all, "", "{}", `{"id":1,"connect":{}}`, `{"push":{"channel":"a","pub":{"data":"a\"b"}}}`,
		`{"push":{"channel":"a","pub":{"data":{"a":1}}}}`, "\n", "\x00",
	)
}

func TestWhatIsRememberedIsWhatWasRead(t *testing.T) {
	for _, f := range []Format{JSON, Protobuf} {
		all := objects(t, f)
		m := NewMemory(f)
		r := rand.New(rand.NewPCG(1, uint64(f)))
		for range 2000 {
			// Some clients get the same ones, and another has come further.
			from := r.IntN(len(all))
			for range 1 + r.IntN(4) {
				first := max(0, from-r.IntN(4))
				for _, object := range all[first:min(len(all), first+r.IntN(16))] {
					hears(t, m, f, object)
				}
			}
		}
	}
}

func TestLongObjectsAreReadEachTime(t *testing.T) {
	m := NewMemory(JSON)
	for _, c := range []string{"a", "b"} {
		text := strings.Repeat(c, objectMax)
		h := m.Publication([]byte(`{"push":{"channel":"room","pub":{"data":"` + text + `","offset":7}}}`))
		if h == nil || string(h.Text) != text || string(h.Room) != "room" || h.Offset != 7 {
			t.Fatalf("%+v", h)
		}
		if h := m.Publication(nil); h != nil {
			t.Fatalf("nothing is %+v", h)
		}
	}
}

func TestMessagesOnTheirWayAreReadOnce(t *testing.T) {
	all := objects(t, JSON)[:16]
	m := NewMemory(JSON)
	for _, object := range all {
		if h := m.Publication([]byte(object)); h != nil {
			h.Offset += 1000 // It shows who reads it again.
		}
	}
	again := 0
	for client := range 100 {
		for _, object := range all[client%5:] {
			h := m.Publication([]byte(object))
			if h == nil {
				t.Fatalf("%s is none", object)
			}
			if h.Offset < 1000 {
				again++
				h.Offset += 1000
			}
		}
	}
	if again > 100*14/2 { // Three may want one place.
		t.Errorf("%d of %d were read again", again, 100*14)
	}
}

func TestMemoryAllocatesNothing(t *testing.T) {
	m := NewMemory(JSON)
	var all [][]byte
	for _, object := range objects(t, JSON)[:16] {
		all = append(all, []byte(object))
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, object := range all {
			if m.Publication(object) == nil {
				t.Fatalf("%s is none", object)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMemory(f *testing.F) {
	f.Add(`{"push":{"channel":"a","pub":{"data":{"a":[1]},"offset":12}}}`, "{}")
	f.Add(`{"push":{"channel":"a","pub":{"data":"text"}}}`, `{"push":{"channel":"b","pub":{"data":"text"}}}`)
	f.Add("\x22\x0b\x12\x01a\x22\x06\x22\x04text", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, format := range []Format{JSON, Protobuf} {
			m := NewMemory(format)
			for _, object := range []string{a, b, a, a, b, a + b, b, a} {
				hears(t, m, format, object)
			}
		}
	})
}
