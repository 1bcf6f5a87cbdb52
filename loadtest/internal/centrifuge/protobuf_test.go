package centrifuge

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/centrifugal/protocol"
	"github.com/google/go-cmp/cmp"
)

// written are replies as the protocol's own encoder writes them, each with its length before it.
func written(t testing.TB, all ...*protocol.Reply) (frame []byte) {
	t.Helper()
	e := protocol.NewProtobufDataEncoder()
	for _, r := range all {
		body, err := protocol.NewProtobufReplyEncoder().Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	return e.Finish()
}

var pushes = []*protocol.Push{
	{Channel: "a", Pub: &protocol.Publication{Data: protocol.Raw("text"), Offset: 12}},
	{Channel: "room-0", Pub: &protocol.Publication{Data: protocol.Raw(`{"a":1}`), Tags: map[string]string{"x": "y"}, Info: &protocol.ClientInfo{Client: "c"}}},
	{Channel: "a", Pub: &protocol.Publication{Data: protocol.Raw{0, 0xff}, Offset: 1 << 62, Time: -1}},
	{Channel: "a", Join: &protocol.Join{Info: &protocol.ClientInfo{Client: "c"}}},
	{Channel: "a", Unsubscribe: &protocol.Unsubscribe{Code: 2500, Reason: "insufficient state"}},
	{Disconnect: &protocol.Disconnect{Code: 3001, Reason: "shutdown"}},
}

func TestProtobufPublicationsAreReadAsTheProtocolWritesThem(t *testing.T) {
	for _, push := range pushes {
		object, _ := Protobuf.Next(written(t, &protocol.Reply{Push: push}))
		room, p, isPublication := Protobuf.ParsePublication(object)
		if isPublication != (push.Pub != nil) {
			t.Errorf("%+v is a publication: %v", push, isPublication)
		} else if isPublication && (string(room) != push.Channel || p.Offset != push.Pub.Offset || !bytes.Equal(p.Data, push.Pub.Data)) {
			t.Errorf("%+v: %q %d %q", push, room, p.Offset, p.Data)
		}
		r, err := Protobuf.ParseReply(object)
		if err != nil || r.Push == nil || r.Push.Channel != push.Channel || (r.Push.Pub != nil) != isPublication ||
			(r.Push.Unsubscribe != nil) != (push.Unsubscribe != nil) || (r.Push.Disconnect != nil) != (push.Disconnect != nil) {
			t.Errorf("%+v is read as %+v, %v", push, r, err)
		}
	}
	object, _ := Protobuf.Next(written(t, &protocol.Reply{Id: 7, Publish: &protocol.PublishResult{}}))
	if _, _, isPublication := Protobuf.ParsePublication(object); isPublication {
		t.Error("a reply is a publication")
	}
}

func TestProtobufRepliesAreReadAsTheProtocolWritesThem(t *testing.T) {
	for _, test := range []struct {
		theirs *protocol.Reply
		want   Reply
	}{
		{&protocol.Reply{Id: 1, Connect: &protocol.ConnectResult{Client: "c", Pong: true}}, Reply{ID: 1, Connect: &Connect{true}}},
		{&protocol.Reply{Id: 2, Error: &protocol.Error{Code: 100, Message: "m", Temporary: true}}, Reply{ID: 2, Error: &Error{100, "m", true}}},
		{
			&protocol.Reply{Id: 3, Subscribe: &protocol.SubscribeResult{
				Recoverable: true, Epoch: "e", Recovered: true, WasRecovering: true, Offset: 7,
				Publications: []*protocol.Publication{{Data: protocol.Raw("x"), Offset: 8}},
			}},
			Reply{ID: 3, Subscribe: &Subscribe{true, true, true, "e", 7, []Publication{{json.RawMessage("x"), 8}}}},
		},
	} {
		object, rest := Protobuf.Next(written(t, test.theirs))
		if got, err := Protobuf.ParseReply(object); err != nil || len(rest) > 0 || cmp.Diff(&test.want, got) != "" {
			t.Errorf("%v\n%s", err, cmp.Diff(&test.want, got))
		}
	}
}

func TestProtobufCommandsAreReadByTheProtocol(t *testing.T) {
	frame := Protobuf.AppendConnect(nil, 1)
	frame = Protobuf.AppendSubscribe(frame, 2, "room-0", nil)
	frame = Protobuf.AppendSubscribe(frame, 3, "room-1", &Place{"e", 7})
	frame = Protobuf.AppendPublish(frame, 4, "room-0", []byte("text"))
	frame = append(frame, Protobuf.Pong()...)
	want := []*protocol.Command{
		{Id: 1, Connect: &protocol.ConnectRequest{Name: "loadtest"}},
		{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "room-0"}},
		{Id: 3, Subscribe: &protocol.SubscribeRequest{Channel: "room-1", Recover: true, Epoch: "e", Offset: 7}},
		{Id: 4, Publish: &protocol.PublishRequest{Channel: "room-0", Data: protocol.Raw("text")}},
		{},
	}
	d := protocol.NewProtobufCommandDecoder(frame)
	for i, want := range want {
		got, err := d.Decode()
		if got == nil || got.String() != want.String() {
			t.Fatalf("%d: %v, %v, want %v", i, got, err, want)
		}
	}
}

// What is not whole is no publication, no reply, and no reason to go on in the frame.
func TestProtobufThatIsNotWholeIsNotBelieved(t *testing.T) {
	frame := written(t, &protocol.Reply{Push: pushes[0]})
	for n := 1; n < len(frame); n++ {
		object, rest := Protobuf.Next(frame[:n])
		_, _, isPublication := Protobuf.ParsePublication(object)
		if _, err := Protobuf.ParseReply(object); err == nil || isPublication || len(rest) > 0 || Protobuf.IsPing(object) {
			t.Errorf("%d bytes of %d: %q, a publication: %v", n, len(frame), object, isPublication)
		}
	}
	object, rest := Protobuf.Next(append([]byte{0}, frame...))
	if !Protobuf.IsPing(object) || !bytes.Equal(rest, frame) {
		t.Errorf("a ping is %q", object)
	}
	if object, _ := Protobuf.Next(nil); object != nil {
		t.Errorf("at the end there is %q", object)
	}
}

func FuzzProtobufPublication(f *testing.F) {
	f.Add(written(f, &protocol.Reply{Push: pushes[1]}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		object, _ := Protobuf.Next(frame)
		room, p, isPublication := Protobuf.ParsePublication(object)
		theirs := new(protocol.Reply)
		if err := theirs.UnmarshalCF(object); err != nil || !isPublication {
			return
		}
		if theirs.Push == nil || theirs.Push.Pub == nil || string(room) != theirs.Push.Channel {
			t.Fatalf("%q is no publication: %v", object, theirs)
		}
		if tags := bytes.Count(object, []byte{fieldFour}); tags == 3 && (p.Offset != theirs.Push.Pub.Offset || !bytes.Equal(p.Data, theirs.Push.Pub.Data)) {
			t.Fatalf("%q: %d %q, want %v", object, p.Offset, p.Data, theirs.Push.Pub)
		}
	})
}

// fieldFour begins a push in a reply, a publication in a push, and its data: where there are three
// such bytes, none of them is put together of several.
const fieldFour = 4<<3 | 2

func TestProtobufPublicationAllocatesNothing(t *testing.T) {
	object, _ := Protobuf.Next(written(t, &protocol.Reply{Push: pushes[0]}))
	if n := testing.AllocsPerRun(100, func() { Protobuf.ParsePublication(object) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
