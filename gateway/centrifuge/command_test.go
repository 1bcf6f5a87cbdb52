package centrifuge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/centrifugal/protocol"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// commands decodes a frame whole.
func commands(f Format, frame []byte) (all []*protocol.Command, err error) {
	for first := true; first || len(frame) > 0; first = false {
		var c *protocol.Command
		if c, frame, err = f.NextCommand(frame); err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

// inProtobuf is a frame of the commands, by the protobuf project's library.
func inProtobuf(t testing.TB, all ...*protocol.Command) (frame []byte) {
	t.Helper()
	for _, c := range all {
		message, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		frame = protowire.AppendBytes(frame, message)
	}
	return frame
}

func TestCommandsOfAFrame(t *testing.T) {
	const connect, subscribe = `{"id":1,"connect":{"name":"js"}}`, `{"id":2,"subscribe":{"channel":"hist:a","flag":1}}`
	for _, frame := range []string{
		connect + "\n" + subscribe, connect + "\n" + subscribe + "\n", connect + "\r\n" + subscribe + "\r\n", " " + connect + " \n\t" + subscribe,
	} {
		all, err := commands(JSON, []byte(frame))
		if err != nil || len(all) != 2 || all[0].Id != 1 || all[0].Connect.GetName() != "js" || all[1].Subscribe.GetChannel() != "hist:a" {
			t.Errorf("%q is %v, %v", frame, all, err)
		}
	}
	want := []*protocol.Command{
		{Id: 1, Connect: &protocol.ConnectRequest{Name: "dart", Subs: map[string]*protocol.SubscribeRequest{"a": {Recover: true, Offset: 7, Epoch: "e"}}}},
		{Id: 1<<32 - 1, Publish: &protocol.PublishRequest{Channel: "r", Data: protocol.Raw{0, '\n', 0xff}}},
		{},
	}
	all, err := commands(Protobuf, inProtobuf(t, want...))
	if err != nil || len(all) != len(want) {
		t.Fatalf("%v, %v", all, err)
	}
	for i := range want {
		if !proto.Equal(all[i], want[i]) {
			t.Errorf("command %d is %v, want %v", i, all[i], want[i])
		}
	}
	if !IsPong(all[2]) || IsPong(all[0]) {
		t.Error("which is the pong?")
	}
}

// Null is a value, and no data is none.
func TestNullIsPublished(t *testing.T) {
	for data, want := range map[string]string{`,"data":null`: "null", `,"data":0`: "0", `,"data":""`: `""`, ``: ""} {
		all, err := commands(JSON, []byte(`{"id":1,"publish":{"channel":"r"`+data+`}}`))
		if err != nil || string(all[0].Publish.Data) != want {
			t.Errorf("%s is %v, %v", data, all, err)
		}
	}
}

func TestMalformedCommandsAreRefused(t *testing.T) {
	for _, frame := range []string{
		"", "\n", "\r\n", " ", "{}\n\n{}", "null", "[]", "7", `"x"`, "{", `{"id":1`, "not json", "{}{}", `{"id":1}`, `{"id":1,"nonsense":{}}`,
		`{"connect":{}}`, `{"id":0,"connect":{}}`, `{"id":4294967296,"connect":{}}`, `{"id":-1,"connect":{}}`, `{"id":1.5,"connect":{}}`,
		`{"id":"1","connect":{}}`, `{"id":1e999,"connect":{}}`, `{"id":` + strings.Repeat("9", 5000) + `,"connect":{}}`,
		`{"id":1,"subscribe":7}`, `{"id":1,"subscribe":{"channel":7}}`, `{"id":1,"subscribe":{"channel":"a","offset":-1}}`,
		`{"id":1,"publish":{"channel":"a","data":{}`, "{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"\xff\"}}",
		"{\"id\":1,\n\"connect\":{}}", `{"id":1,"subscribe":{"channel":"a","tf":` + strings.Repeat(`{"nodes":[`, 2000) + strings.Repeat("]}", 2000) + `}}`,
		`{"id":1,"subscribe":{"channel":"a","tf":{"nodes":[` + strings.Repeat("{},", CommandMax/3) + `{}]}}}`,
		"{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"" + strings.Repeat("x", CommandMax) + "\xff\"}}",
	} {
		if all, err := commands(JSON, []byte(frame)); err == nil {
			t.Errorf("%.100q is %.100v", frame, all)
		}
	}
	filter := &protocol.FilterNode{}
	for range 200_000 {
		filter.Nodes = append(filter.Nodes, &protocol.FilterNode{})
	}
	connect := inProtobuf(t, &protocol.Command{Id: 1, Connect: &protocol.ConnectRequest{}})
	for _, frame := range [][]byte{
		nil,
		{1},
		{2, 8},
		{0x80},
		bytes.Repeat([]byte{0x80}, 20),
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		connect[:len(connect)-1], append(bytes.Clone(connect), 9),
		{2, 8, 1},
		{1, 0xff},
		{2, 0x22, 5},
		inProtobuf(t, &protocol.Command{Connect: &protocol.ConnectRequest{}}),
		inProtobuf(t, &protocol.Command{Id: 1, Subscribe: &protocol.SubscribeRequest{Channel: "a", Tf: filter}}),
		protowire.AppendBytes(nil, protowire.AppendBytes([]byte{8, 1, 0x3a}, []byte("\x0a\x01\xff"))), // publish into a room that is not UTF-8
	} {
		if all, err := commands(Protobuf, frame); err == nil {
			t.Errorf("%.50x is %.100v", frame, all)
		}
	}
}

// A frame's bytes are used again for the next one, and what was decoded stays what it was.
func TestACommandKeepsNothingOfItsFrame(t *testing.T) {
	c := protocol.Command{Id: 3, Publish: &protocol.PublishRequest{Channel: "room", Data: protocol.Raw(`{"a":1}`)}}
	large := protocol.Command{Id: 3, Publish: &protocol.PublishRequest{Channel: "room", Data: protocol.Raw(`"` + strings.Repeat("x", CommandMax) + `"`)}}
	for _, want := range []*protocol.Command{&c, &large} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for f, frame := range map[Format][]byte{JSON: text, Protobuf: inProtobuf(t, want)} {
			got, _, err := f.NextCommand(frame)
			if err != nil {
				t.Fatalf("%v: %v", f, err)
			}
			for i := range frame {
				frame[i] = 0xaa
			}
			if !proto.Equal(got, want) {
				t.Errorf("format %d: %.200v", f, got)
			}
		}
	}
}

// What a client sends becomes in memory so many times as much; what it may send bounds it.
func TestCommandsTakeBoundedMemory(t *testing.T) {
	var filter []byte
	for range CommandMax/2 - 100 {
		filter = append(filter, 0x32, 0)
	}
	attack := protowire.AppendBytes(protowire.AppendTag([]byte{8, 1}, 5, protowire.BytesType), protowire.AppendBytes([]byte{0x6a}, filter))
	var subs strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&subs, `"%d":{},`, i)
	}
	for name, test := range map[string]struct {
		f     Format
		frame []byte
	}{
		"a filter of empty nodes":  {Protobuf, protowire.AppendBytes(nil, attack)},
		"a million subscriptions":  {JSON, []byte(`{"id":1,"connect":{"subs":{` + strings.Repeat(subs.String(), 100) + `"x":{}}}}`)},
		"ten thousand of them":     {JSON, []byte(`{"id":1,"connect":{"subs":{` + subs.String() + `"x":{}}}}`)},
		"as many beside some data": {JSON, []byte(`{"id":1,"connect":{"subs":{` + strings.Repeat(subs.String(), 2) + `"x":{}}},"publish":{"data":7}}`)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := test.f.NextCommand(test.frame)
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes became %d (%v)", name, len(test.frame), took, err)
		if took > 16<<20 {
			t.Errorf("%s: %d bytes became %d", name, len(test.frame), took)
		}
	}
}

func FuzzNextCommand(f *testing.F) {
	f.Add([]byte(`{"id":1,"connect":{"subs":{"a":{"recover":true}}}}`+"\n{}"), false)
	f.Add([]byte(`{"id":2,"publish":{"channel":"a","data":[1,{"x":"\u2028"}]}}`), false)
	f.Add(inProtobuf(f, &protocol.Command{Id: 9, Publish: &protocol.PublishRequest{Channel: "a", Data: protocol.Raw("x")}}, &protocol.Command{}), true)
	f.Fuzz(func(t *testing.T, frame []byte, isProtobuf bool) {
		format := JSON
		if isProtobuf {
			format = Protobuf
		}
		for n := 0; len(frame) > 0; n++ {
			c, rest, err := format.NextCommand(frame)
			if err != nil {
				return
			}
			if len(rest) >= len(frame) || !IsPong(c) && !hasMethod(c) {
				t.Fatalf("%d bytes behind %d, %v", len(rest), len(frame), c)
			}
			if p := c.Publish; p != nil && !isProtobuf && len(p.Data) > 0 && !json.Valid(p.Data) {
				t.Fatalf("%q passed for JSON", p.Data)
			}
			frame = rest
		}
	})
}
