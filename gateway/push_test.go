package gateway

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/wsproto"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// pushEncodings are those with pushes, with their formats.
var pushEncodings = map[hub.Encoding]centrifuge.Format{
	encodingPush: centrifuge.JSON, encodingPushDeflated: centrifuge.JSON,
	encodingPushProtobuf: centrifuge.Protobuf, encodingPushProtobufDeflated: centrifuge.Protobuf,
}

// readPush decodes a frame by libraries that share nothing with what made it, and reports whether
// it was deflated.
func readPush(t testing.TB, f centrifuge.Format, frame []byte) (push *protocol.Push, isDeflated bool) {
	t.Helper()
	r := bytes.NewReader(frame)
	header, err := ws.ReadHeader(r)
	if err != nil || header.Length != int64(r.Len()) || !header.Fin || header.OpCode != map[centrifuge.Format]ws.OpCode{centrifuge.JSON: ws.OpText, centrifuge.Protobuf: ws.OpBinary}[f] {
		t.Fatalf("%+v before %d bytes, %v", header, r.Len(), err)
	}
	payload := frame[len(frame)-r.Len():]
	if isDeflated = header.Rsv1(); isDeflated {
		if payload, err = io.ReadAll(flate.NewReader(io.MultiReader(r, strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))); err != nil {
			t.Fatalf("inflating %d bytes: %v", header.Length, err)
		}
	}
	reply := new(protocol.Reply)
	if f == centrifuge.JSON {
		err = json.Unmarshal(payload, reply)
	} else {
		message, n := protowire.ConsumeBytes(payload)
		if n != len(payload) {
			t.Fatalf("%x has no length before it", payload)
		}
		err = proto.Unmarshal(message, reply)
	}
	if err != nil || reply.Push == nil {
		t.Fatalf("%.200q: %v", payload, err)
	}
	return reply.Push, isDeflated
}

// placed is the frame with a position written into it, as the hub does.
func placed(f hub.Frame, e hub.Encoding, offset uint64) []byte {
	frame := append(bytes.Clone(f.Head), f.Payload...)
	if width := encodings[e].PositionWidth; f.PositionAt > 0 {
		encodings[e].PutPosition(frame[f.PositionAt:f.PositionAt+width], hub.Position{Epoch: "e", Offset: offset})
	}
	return frame
}

func someInfo(t testing.TB) centrifuge.Info {
	t.Helper()
	info, err := centrifuge.PackInfo(&protocol.ClientInfo{User: "u1", Client: "c1", ConnInfo: protocol.Raw(`{"name":"Ann"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func textOf(payload string) message {
	return message{Message: wsproto.Message{Op: wsproto.OpText, Payload: []byte(payload)}}
}

// Every push of every encoding is what another library makes of it, whatever its position is and
// however its body repeats its head.
func TestPushesInAllEncodings(t *testing.T) {
	value, binary := textOf(`7`), textOf("\x00\xff")
	value.isValue, value.info = true, someInfo(t)
	binary.Op = wsproto.OpBinary
	head := `{"push":{"channel":"room.1","pub":{"offset":0                   ,`
	for i, m := range []message{
		textOf(`{"a": [1, 2]}`), textOf("plain"), textOf(""), value, binary, textOf(strings.Repeat(head, 20)),
		textOf("[" + strings.Repeat(`{"offset":0                   },`, 50) + "0]"),
		textOf(strings.Repeat("x\n", compressMax)), textOf(strings.Repeat("0123456789", 7_000)),
	} {
		for _, isKept := range []bool{false, true} {
			e := encoder{cfg: new(config)}
			e.of("room.1", m)
			e.isKept = isKept
			frames := map[hub.Encoding]hub.Frame{}
			for _, encoding := range []hub.Encoding{encodingPlain, encodingPushDeflated, encodingPush, encodingPushProtobuf, encodingPushProtobufDeflated} {
				frames[encoding] = e.Encode(encoding)
			}
			if plain := frames[encodingPlain]; string(plain.Payload) != string(m.Payload) || plain.Head[0] != 0x80|byte(m.Op) {
				t.Errorf("message %d: the plain frame begins with %x", i, plain.Head)
			}
			data, isBase64 := centrifuge.AppendData(nil, kindOf(m.Op == wsproto.OpBinary, m.isValue), m.Payload)
			for encoding, f := range pushEncodings {
				frame := frames[encoding]
				if len(frame.Head) == 0 {
					if !encodings[encoding].HasSubstitute || len(data) < 60_000 && len(data) > 200 {
						t.Errorf("message %d: no frame in %s", i, encodings[encoding].Name)
					}
					continue
				}
				for _, offset := range []uint64{1, 1 << 40, 1<<64 - 1} {
					push, isDeflated := readPush(t, f, placed(frame, encoding, offset))
					want := &protocol.Publication{Data: data, Info: m.info.ClientInfo(), Offset: offset}
					if isBase64 {
						want.Tags = map[string]string{"encoding": "base64"}
					}
					if !isKept {
						want.Offset = 0
					}
					if push.Channel != "room.1" || !proto.Equal(push.Pub, want) || isDeflated != encodings[encoding].HasSubstitute {
						t.Fatalf("message %d, kept %t, %s, offset %d: %.300v, want %.300v", i, isKept, encodings[encoding].Name, offset, push, want)
					}
				}
			}
			if e.done(); cap(e.pushes.data.bytes) > pushesKept || cap(e.pushes.formats[0].frame) > pushesKept {
				t.Errorf("message %d: large buffers stay", i)
			}
		}
	}
}

func TestPushesAllocateNothing(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector has pools forget some of what they are given")
	}
	e := encoder{cfg: new(config)}
	m := textOf(`{"symbol": "ABC", "price": 1.08, "text": "` + strings.Repeat("compressible ", 50) + `"}`)
	m.info = someInfo(t)
	once := func() {
		e.of("room", m)
		e.isKept = true
		for encoding := range pushEncodings {
			e.Encode(encoding)
		}
	}
	if once(); testing.AllocsPerRun(100, once) > 0 {
		t.Error("pushes allocate")
	}
}

// What a room has kept comes to be read late, or page by page, as it was pushed when it was
// published.
func TestRestoredPushesAreThoseThatWerePublished(t *testing.T) {
	value, binary := textOf(`"x"`), textOf("\x00\xff")
	value.isValue, value.info = true, someInfo(t)
	binary.Op = wsproto.OpBinary
	s, err := New(Options{Loops: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, m := range []message{textOf("{}"), value, binary} {
		var e encoder
		e.setTo(s.config())
		e.of("r", m)
		record := &hub.Record{Source: e.Source()}
		record.Offset = 42
		for encoding, f := range pushEncodings {
			first := e.Encode(encoding)
			again := s.restore("r", record).Encode(encoding)
			if !bytes.Equal(first.Head, again.Head) || first.PositionAt != again.PositionAt {
				t.Errorf("message %d, %s: %q, and restored %q", i, encodings[encoding].Name, first.Head, again.Head)
			}
			if len(again.Head) == 0 {
				continue
			}
			push, _ := readPush(t, f, placed(again, encoding, record.Offset))
			kept := keptOf(record)
			if got := kept.Publication(); !proto.Equal(got, push.Pub) {
				t.Errorf("message %d: in a page %v, pushed %v", i, got, push.Pub)
			}
		}
	}
}

// A connection hears all its rooms in one encoding, and what one of them has is not to be deflated.
func TestPushesOfPlainRoomsAreNotDeflated(t *testing.T) {
	cfg := &config{Options: Options{Rooms: []RoomRule{{Pattern: "plain.*", Plain: true}}}}
	e := encoder{cfg: cfg}
	for room, want := range map[string]bool{"plain.1": false, "other": true} {
		e.of(room, textOf("["+strings.Repeat("1000,", 100)+"0]"))
		if f := e.Encode(encodingPushDeflated); len(f.Head) > 0 != want {
			t.Errorf("%s: %d bytes", room, len(f.Head))
		}
	}
}

// What a large push needs is let go of at the tick's end.
func TestLargePushesLeaveNothingBehind(t *testing.T) {
	s, err := New(Options{Loops: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := &s.workers[0].encoder
	e.of("r", textOf(strings.Repeat("\x01", 200<<10)))
	for encoding := range pushEncodings {
		e.Encode(encoding)
	}
	large := func() (n int) {
		for _, p := range e.pushes.formats {
			n += cap(p.frame) + cap(p.deflated)
		}
		return n + cap(e.pushes.data.bytes)
	}
	before := large()
	s.workers[0].flush()
	if after := large(); before < 3<<20 || after > pushesKept || e.message.Payload != nil {
		t.Errorf("%d bytes, and %d behind the tick", before, after)
	}
}

func BenchmarkPush(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		for name, text := range map[string]string{
			"text": strings.Repeat("x", size),
			"json": `{"items":[` + strings.Repeat(`{"id":1,"name":"abc"},`, size/22) + `0]}`,
		} {
			b.Run(fmt.Sprintf("%s/size=%d", name, size), func(b *testing.B) {
				var e encoder
				m := textOf(text)
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					e.of("room", m)
					e.Encode(encodingPush)
				}
			})
		}
	}
}
