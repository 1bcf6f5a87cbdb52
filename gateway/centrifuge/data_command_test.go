package centrifuge

import (
	"bytes"
	"strings"
	"testing"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"
	"google.golang.org/protobuf/proto"
)

// A large command means what the small one's decoder, which is the protocol's own, says that it
// does, and is refused where that refuses it.
func TestLargeCommandsMeanWhatSmallOnesDo(t *testing.T) {
	data := `"` + strings.Repeat("x", CommandMax) + `"`
	deep := strings.Repeat("[", CommandMax) + strings.Repeat("]", CommandMax)
	refused := 0
	for _, line := range []string{
		`{"id":1,"publish":{"channel":"a","data":DATA}}`,
		` { "id" : 1 , "publish" : { "channel" : "a" , "data" : DATA } } `,
		`{"publish":{"data":DATA,"channel":"a\u00e9\n"},"id":4294967295}`,
		`{"id":1,"publish":{"channel":"a","data":DEEP}}`,
		`{"send":{"data":DATA}}`,
		`{"id":2,"rpc":{"method":"m","data":DATA}}`,
		`{"id":1,"publish":null,"send":{"data":DATA}}`,
		`{"id":null,"send":{"data":DATA}}`,
		`{"id":1,"further":[{"a":DATA},1,true,null,"x"],"send":{"data":1}}`,
		`{"id":1,"send":{"data":DATA},"":{}}`,
		`{"i\u0064":1,"publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"publish":{"channel":"a","data":DATA},"rpc":{}}`,

		`{"ID":1,"publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"Publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"id":2,"publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"publish":{"channel":"a","data":DATA},"publish":{"channel":"b"}}`,
		`{"id":1,"publish":null,"publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"publish":{"channel":"a","data":DATA},}`,
		`{,"id":1,"publish":{"channel":"a","data":DATA}}`,
		`{"id":1 "publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"publish":{"channel":"a","data":DATA}`,
		`{"id":1,"publish":{"channel":"a","data":DATA}}}`,
		`{"id":1,"publish":{"channel":"a","data":DATA},`,
		`{"id":1,"publish":{"channel":"a","data":DATA},"x"`,
		`{"id":1,"publish":{"channel":"a","data":DATA},"x":`,
		`{"id":1,"publish":{"channel":"a","data":DATA},"x":nul}`,
		`{"id":1,"publish":["channel","a",DATA]}`,
		`{"id":1.5,"publish":{"channel":"a","data":DATA}}`,
		`{"id":4294967296,"publish":{"channel":"a","data":DATA}}`,
		`{"id":1,"publish":{"channel":7,"data":DATA}}`,
		"{\"id\":1,\"publish\":{\"channel\":\"a\xff\",\"data\":DATA}}",
		"{\"id\":1,\"x\":\"\xff\",\"publish\":{\"channel\":\"a\",\"data\":DATA}}",
	} {
		line := []byte(strings.NewReplacer("DATA", data, "DEEP", deep).Replace(line))
		got, err := decodeJSON(line)
		want, wantErr := protocol.NewJSONCommandDecoder(line).Decode()
		if want == nil || check(want) != nil {
			if refused++; err == nil {
				t.Errorf("%.100q is %.100v, and by the protocol's decoder %v", line, got, wantErr)
			}
			continue
		}
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%.100q is %.100v, %v, and by the protocol's decoder %.100v", line, got, err, want)
		}
	}
	if refused < 10 {
		t.Errorf("%d were refused", refused)
	}
}

// Whatever the protocol's decoder takes, that of large commands takes too, for the same.
func FuzzDataCommand(f *testing.F) {
	f.Add([]byte(`{"id":2,"publish":{"channel":"a","data":[1,{"x":"\u2028"}]},"rpc":null}`))
	f.Add([]byte(` {"send":{"data":{}}, "ping":{} ,"x":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' || bytes.ContainsRune(line, '\n') {
			return
		}
		want, _ := protocol.NewJSONCommandDecoder(line).Decode()
		if want == nil {
			return
		}
		want = &protocol.Command{Id: want.Id, Publish: want.Publish, Send: want.Send, Rpc: want.Rpc}
		got := new(protocol.Command)
		if err := cfjson.Unmarshal(line, (*dataCommand)(got), 0); err != nil || !proto.Equal(got, want) {
			t.Fatalf("%q is %v, %v, and by the protocol's decoder %v", line, got, err, want)
		}
	})
}
