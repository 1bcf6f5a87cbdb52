package centrifuge

import (
	"math"
	"strings"
	"testing"

	"github.com/centrifugal/protocol"
	"google.golang.org/protobuf/proto"
)

func packed(t testing.TB, i *protocol.ClientInfo) Info {
	t.Helper()
	info, err := PackInfo(i)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestPublicationsAsOthersDecodeThem(t *testing.T) {
	who := &protocol.ClientInfo{User: "u\"\n", Client: "c1", ConnInfo: protocol.Raw(`{"name":"x"}`), ChanInfo: protocol.Raw(`[7]`)}
	offsets := []uint64{0, 1, 127, 128, 1 << 21, 1<<53 - 1, math.MaxUint64}
	large := `"` + strings.Repeat("x", 70_000) + `"`
	for name, f := range formats {
		for _, info := range []*protocol.ClientInfo{nil, {}, {User: "u"}, who} {
			for _, data := range []string{`{"a":1}`, `""`, large} {
				p := Pub{Data: []byte(data), HasOffset: true, IsBase64: data == `""`}
				if info != nil {
					p.Info = packed(t, info)
				}
				want := &protocol.Publication{Data: protocol.Raw(data)}
				if p.IsBase64 {
					want.Tags = map[string]string{"encoding": "base64"}
				}
				if p.Info != "" {
					want.Info = info
				}
				frame, at := f.AppendPub([]byte("head"), "r.1", &p)
				if at >= 100 {
					t.Errorf("the place is at %d", at)
				}
				for _, offset := range offsets {
					f.PutOffset(frame[at:at+f.OffsetWidth()], offset)
					want.Offset = offset
					if got := readReply(t, f, frame[4:]); !proto.Equal(got, &protocol.Reply{Push: &protocol.Push{Channel: "r.1", Pub: want}}) {
						t.Fatalf("%s: offset %d: %.300v, want %.300v", name, offset, got, want)
					}
				}
				p.HasOffset = false
				frame, at = f.AppendPub(nil, "r.1", &p)
				want.Offset = 0
				if got := readReply(t, f, frame); at != 0 || !proto.Equal(got, &protocol.Reply{Push: &protocol.Push{Channel: "r.1", Pub: want}}) {
					t.Fatalf("%s: place at %d, %.300v, want %.300v", name, at, got, want)
				}
			}
		}
	}
}

func TestPublicationsAllocateNothing(t *testing.T) {
	info := packed(t, &protocol.ClientInfo{User: "u", Client: "c", ConnInfo: protocol.Raw(`{"a": 1}`)})
	payload, data, frame := []byte(`{ "x": [1, 2, "three"] }`), make([]byte, 0, 1<<10), make([]byte, 0, 1<<10)
	for _, kind := range []Kind{Text, Binary, Value} {
		for name, f := range formats {
			allocs := testing.AllocsPerRun(100, func() {
				p := Pub{Info: info, HasOffset: true}
				data, p.IsBase64 = AppendData(data[:0], kind, payload)
				p.Data = data
				at := 0
				frame, at = f.AppendPub(frame[:0], "room", &p)
				f.PutOffset(frame[at:], 12345)
			})
			if allocs > 0 {
				t.Errorf("%s, kind %d: %v allocations", name, kind, allocs)
			}
		}
	}
}

func TestInfoIsBoundedAndBack(t *testing.T) {
	want := &protocol.ClientInfo{User: "u", Client: strings.Repeat("c", 200), ConnInfo: protocol.Raw(`{"a":1}`)}
	if got := packed(t, want).ClientInfo(); !proto.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if Info("").ClientInfo() != nil {
		t.Error("nobody is somebody")
	}
	if i, err := PackInfo(&protocol.ClientInfo{ConnInfo: protocol.Raw(`"` + strings.Repeat("x", InfoMax) + `"`)}); err == nil || i != "" {
		t.Errorf("%d bytes of info", len(i))
	}
	deep := packed(t, &protocol.ClientInfo{ConnInfo: protocol.Raw(nested(500))}).ClientInfo()
	if string(deep.ConnInfo) != `"`+nested(500)+`"` {
		t.Errorf("%s", deep.ConnInfo)
	}
}

// FuzzInfo has whatever a record may hold be read without a fault, and what was packed come back.
func FuzzInfo(f *testing.F) {
	f.Add("\x0a\x01u", "u", "c")
	f.Add("\x0a\xff\x7fu", "", strings.Repeat("x", 130))
	f.Fuzz(func(t *testing.T, raw, user, client string) {
		_ = Info(raw).ClientInfo()
		_ = Info(raw).appendJSON(nil)
		want := &protocol.ClientInfo{User: strings.ToValidUTF8(user, ""), Client: strings.ToValidUTF8(client, "")}
		i, err := PackInfo(want)
		if err != nil || i == "" {
			return
		}
		if got := i.ClientInfo(); !proto.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		frame, _ := JSON.AppendPub(nil, "r", &Pub{Data: []byte("1"), Info: i})
		if got := readReply(t, JSON, frame).Push.Pub.Info; !proto.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}
