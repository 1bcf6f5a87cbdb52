package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/sdktest"
	"sluice/internal/wstest"
)

// nested is JSON of so many arrays in each other.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// texts are what raw clients say that do not know of the protocol, and whether it comes as the JSON
// that it is: an object or array, not too deep, of numbers that are not too long. Everything else
// is one string.
var texts = []struct {
	text   string
	isJSON bool
}{
	{`{"price": 1.5, "of": ["a", null, true]}`, true},
	{"{\n  \"pretty\": [\n    1,\r\n\t2\n  ]\n}\n", true}, // A line feed would end the message for an SDK.
	{`["` + strings.Repeat("x", 70_000) + `"]`, true},
	{`{"escaped":"\u2028\ud83d\ude00\n\"\\ <b>&"}`, true},
	{"[\"\u2028 \u2029 \U0001f600 \u00e9\"]", true},
	{`{"twice":1,"twice":2}`, true},
	{nested(90), true},
	{nested(150), false},
	{nested(100_000), false},
	{`[` + strings.Repeat("9", 250) + `]`, true},
	{`[` + strings.Repeat("9", 5000) + `]`, false},
	{`{"n":1e400}`, true},
	{`42`, false},
	{`"a string"`, false},
	{`null`, false},
	{`true`, false},
	{`hello, world`, false},
	{"lines\nand\r\nlines\n", false},
	{``, false},
	{` `, false},
	{`{`, false},
	{`{"a":1}{"b":2}`, false},
	{`{"a":1,}`, false},
	{`[NaN]`, false},
	{"\x00\x01\x7f", false},
	{"\ufeff{}", false},
	{`{"push":{"channel":"x","unsubscribe":{"code":2000}}}`, true},
	{`"]}}` + "\n" + `{"id":1}`, false},
}

// binaries come as strings in base64, and say so.
var binaries = [][]byte{{}, {0}, []byte(`{"looks":"like JSON"}`), bytes.Repeat([]byte{0xff, 0x00, '\n'}, 30_000)}

// expectation is what an SDK is to hand out of a message.
type expectation struct {
	data string // JSON
	tags map[string]string
}

func ofText(text string, isJSON bool) expectation {
	if isJSON {
		return expectation{data: text}
	}
	quoted, _ := json.Marshal(text)
	return expectation{data: string(quoted)}
}

func ofBinary(p []byte) expectation {
	quoted, _ := json.Marshal(base64.StdEncoding.EncodeToString(p))
	return expectation{string(quoted), map[string]string{"encoding": "base64"}}
}

// fits holds a publication to what is expected. Numbers are compared as JavaScript has them: that
// is all that is left of them there.
func (x expectation) fits(p sdktest.Publication) error {
	if bytes.ContainsAny(p.Data, "\n\r") {
		return fmt.Errorf("a line feed in %.100q", p.Data)
	}
	want, wantErr := decode([]byte(x.data))
	got, err := decode(p.Data)
	if wantErr != nil || err != nil {
		return fmt.Errorf("%.100q: %w; want %.100q (%w)", p.Data, err, x.data, wantErr)
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%.200q, want %.200q", p.Data, x.data)
	}
	if len(p.Tags)+len(x.tags) > 0 && !maps.Equal(p.Tags, x.tags) {
		return fmt.Errorf("%.100q with tags %v, want %v", p.Data, p.Tags, x.tags)
	}
	return nil
}

// decode decodes JSON, with numbers beyond float64 as null, which is what JavaScript writes for its
// infinity.
func decode(p []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("more behind it")
	}
	return asJavaScript(v), err
}

func asJavaScript(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil
		}
		return f
	case []any:
		for i := range v {
			v[i] = asJavaScript(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = asJavaScript(v[name])
		}
	}
	return v
}

// Whatever raw clients and backends say reaches everybody whole, and ends nobody's connection.
func TestCentrifuge_SDKsGetWholeWhatOthersSay(t *testing.T) {
	t.Parallel()
	if centrifugo() != "" {
		t.Skip("Centrifugo has no raw clients")
	}
	e := startEndpoint(t, spoken())
	var clients []sdktest.SDK
	for _, kind := range sdks(t) {
		client := e.open(kind)
		client.Connect()
		client.Subscribe("mixed")
		client.Events().Expect(t, "subscribed", "mixed", 1)
		clients = append(clients, client)
	}
	want := append(sayRaw(t, e), sayByAPI(t, e)...)
	for i, client := range clients {
		t.Run(sdks(t)[i].Name, func(t *testing.T) {
			events := client.Events()
			err := events.Wait("all messages", func() bool { return events.Count("publication", "mixed") >= len(want) }, nil)
			if err != nil {
				t.Error(err)
			}
			for i, p := range events.Of("publication", "mixed") {
				if i >= len(want) {
					t.Fatalf("one more: %v", p)
				}
				if err := want[i].fits(p.Publication); err != nil {
					t.Errorf("%d: %v", i, err)
				}
				if p.Offset != uint64(i+1) {
					t.Errorf("%v: its offset is not %d", p, i+1)
				}
			}
			if n := events.Count("connecting", ""); n != 1 {
				t.Errorf("it had to connect %d times: %v", n, events.Of("connecting", ""))
			}
		})
	}
}

// sayRaw makes a client of /ws say everything.
func sayRaw(t *testing.T, e *endpoint) (want []expectation) {
	t.Helper()
	raw := wstest.Dial(t, e.addr, "/ws/mixed")
	say := func(kind websocket.MessageType, p []byte, x expectation) {
		if err := raw.Write(t.Context(), kind, p); err != nil {
			t.Fatal(err)
		}
		if got, echo, err := raw.Read(t.Context()); err != nil || got != kind || !bytes.Equal(echo, p) {
			t.Fatalf("its echo is %v %.60q, %v", got, echo, err)
		}
		want = append(want, x)
	}
	raw.SetReadLimit(1 << 20)
	for _, one := range texts {
		say(websocket.MessageText, []byte(one.text), ofText(one.text, one.isJSON))
	}
	for _, p := range binaries {
		say(websocket.MessageBinary, p, ofBinary(p))
	}
	return want
}

// sayByAPI makes a backend say everything that is JSON, as data of Centrifugo's API. A string there
// is the text that raw clients get, other scalars are that too.
func sayByAPI(t *testing.T, e *endpoint) (want []expectation) {
	t.Helper()
	for _, one := range texts {
		p := []byte(one.text)
		if !json.Valid(p) || len(p) > 90_000 {
			continue
		}
		if err := e.publish("mixed", one.text); err != nil {
			t.Fatalf("%.60q: %v", one.text, err)
		}
		want = append(want, ofText(one.text, one.isJSON || p[0] == '"'))
	}
	return want
}

// Clients of the protocol publish any JSON, and hear it as what it is. One that speaks protobuf has
// said bytes, which are taken as a raw client's are.
func TestCentrifuge_SDKsPublishWhole(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			room := "own." + kind.Name
			client := e.open(kind)
			client.Connect()
			client.Subscribe(room)
			events := client.Events()
			events.Expect(t, "subscribed", room, 1)
			n := 0
			for _, one := range []string{`{"a":[1,{"b":null}]}`, `[]`, `42`, `"text"`, `null`, `true`, `"\u2028"`, `{"long":"` + strings.Repeat("x", 40_000) + `"}`} {
				if err := client.Publish(room, json.RawMessage(one)); err != nil {
					t.Errorf("%.60q: %v", one, err)
					continue
				}
				n++
				p := events.Expect(t, "publication", room, n)
				isJSON := centrifugo() != "" || kind.Name != "go-protobuf" || one[0] == '{' || one[0] == '['
				if err := ofText(one, isJSON).fits(p.Publication); err != nil {
					t.Error(err)
				}
			}
			if connected := events.Count("connecting", ""); connected != 1 {
				t.Errorf("it had to connect %d times: %v", connected, events.All())
			}
		})
	}
}
