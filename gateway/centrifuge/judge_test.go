package centrifuge

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/centrifugal/protocol"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// readReplies decodes a frame with the protocol's own decoder.
func readReplies(t testing.TB, f Format, frame []byte) (all []*protocol.Reply) {
	t.Helper()
	var d protocol.ReplyDecoder = protocol.NewJSONReplyDecoder(frame)
	if f == Protobuf {
		d = protocol.NewProtobufReplyDecoder(frame)
	}
	for {
		r, err := d.Decode()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		all = append(all, r)
	}
}

// readReply decodes a frame with one reply, and has a second reader judge it that shares nothing
// with the first: the standard library, or the protobuf project's.
func readReply(t testing.TB, f Format, frame []byte) *protocol.Reply {
	t.Helper()
	all := readReplies(t, f, frame)
	if len(all) != 1 {
		t.Fatalf("%q has %d replies, want 1", frame, len(all))
	}
	second := new(protocol.Reply)
	if f == JSON {
		if bytes.ContainsAny(frame, "\n\r") {
			t.Fatalf("%q is of several lines", frame)
		}
		d := json.NewDecoder(bytes.NewReader(frame))
		d.DisallowUnknownFields()
		if err := d.Decode(second); err != nil {
			t.Fatalf("standard library: %q: %v", frame, err)
		}
	} else {
		message, n := protowire.ConsumeBytes(frame)
		if n != len(frame) {
			t.Fatalf("%x: its length is not that of its bytes", frame)
		}
		if err := proto.Unmarshal(message, second); err != nil {
			t.Fatalf("protobuf: %x: %v", frame, err)
		}
		if unknown := second.ProtoReflect().GetUnknown(); len(unknown) > 0 {
			t.Fatalf("%x has the unknown %x", frame, unknown)
		}
	}
	if !proto.Equal(all[0], second) {
		t.Fatalf("%q is %v, and by another library %v", frame, all[0], second)
	}
	return second
}

var formats = map[string]Format{"json": JSON, "protobuf": Protobuf}
