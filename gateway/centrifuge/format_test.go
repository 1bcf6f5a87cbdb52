package centrifuge

import (
	"testing"

	"github.com/centrifugal/protocol"
	"google.golang.org/protobuf/proto"
)

func TestRepliesShareAFrame(t *testing.T) {
	want := []*protocol.Reply{
		{Id: 1, Connect: &protocol.ConnectResult{Client: "c", Version: "v", Ping: 25, Pong: true, Subs: map[string]*protocol.SubscribeResult{"r": {Recoverable: true, Epoch: "e"}}}},
		{Id: 2, Subscribe: &protocol.SubscribeResult{}},
		ErrorPermissionDenied.Reply(3),
		{Id: 4, History: &protocol.HistoryResult{Publications: []*protocol.Publication{{Data: protocol.Raw("\n[1,\n2]"), Offset: 1}}, Offset: 1, Epoch: "e"}},
		UnsubscribeInsufficient.Push("r"),
	}
	for name, f := range formats {
		var frame []byte
		for _, r := range want {
			frame = f.AppendReply(frame, r)
		}
		got := readReplies(t, f, frame)
		if len(got) != len(want) {
			t.Fatalf("%s: %d replies of %q", name, len(got), frame)
		}
		for i, r := range want {
			if f == JSON && i == 3 {
				r.History.Publications[0].Data = protocol.Raw("[1,2]") // A line feed would end the reply.
			}
			if !proto.Equal(got[i], r) {
				t.Errorf("%s: %v, want %v", name, got[i], r)
			}
			readReply(t, f, f.AppendReply(nil, r))
		}
		if pings := readReplies(t, f, f.AppendPing(nil)); len(pings) != 1 || !proto.Equal(pings[0], &protocol.Reply{}) {
			t.Errorf("%s: a ping is %v", name, pings)
		}
	}
}

func TestJoinAndLeaveTellWho(t *testing.T) {
	who := &protocol.ClientInfo{User: "u", Client: "c", ConnInfo: protocol.Raw(`{"n":1}`)}
	for name, f := range formats {
		join := readReply(t, f, f.AppendJoin(nil, "r", packed(t, who))).GetPush()
		leave := readReply(t, f, f.AppendLeave(nil, "r", packed(t, who))).GetPush()
		if join.Channel != "r" || !proto.Equal(join.Join.GetInfo(), who) || leave.Channel != "r" || !proto.Equal(leave.Leave.GetInfo(), who) {
			t.Errorf("%s: %v, %v", name, join, leave)
		}
	}
}

func TestSubprotocols(t *testing.T) {
	for name, want := range map[string]Format{"": JSON, "centrifuge-json": JSON, "centrifuge-protobuf": Protobuf} {
		if f, ok := FormatOf(name); !ok || f != want {
			t.Errorf("%q is %d, %t", name, f, ok)
		}
	}
	if _, ok := FormatOf("mqtt"); ok {
		t.Error("mqtt")
	}
}
