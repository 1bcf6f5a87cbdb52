package centrifuge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestDataOfEachPayload(t *testing.T) {
	deep, long := nested(100), `[`+strings.Repeat("9", 300)+`]`
	for _, test := range []struct {
		kind          Kind
		payload, want string
	}{
		{Text, `{"a":1}`, `{"a":1}`},
		{Text, "{\n  \"a\": [1, 2],\r\n\t\"b c\": \"x \\n y\"\n}\n", `{"a":[1,2],"b c":"x \n y"}`},
		{Text, " [ ] ", "[]"},
		{Text, "[1 2]", `"[1 2]"`},
		{Text, "[tr ue]", `"[tr ue]"`},
		{Text, `["`, `"[\""`},
		{Text, `["\`, `"[\"\\"`},
		{Text, `["\ud800"]`, `["\ud800"]`},
		{Text, "", `""`},
		{Text, "hello", `"hello"`},
		{Text, `"hello"`, `"\"hello\""`},
		{Text, "7", `"7"`},
		{Text, "null", `"null"`},
		{Text, "a\nb\r\t\x00\x1f\u2028\\", `"a\nb\r\t\u0000\u001f` + "\u2028" + `\\"`},
		{Text, `{"a":1}{"b":2}`, `"{\"a\":1}{\"b\":2}"`},
		{Text, `{"a":1`, `"{\"a\":1"`},
		{Text, `{"a":01}`, `"{\"a\":01}"`},
		{Text, "[\"a\nb\"]", `"[\"a\nb\"]"`},
		{Text, "\ufeff{}", "\"\ufeff{}\""},
		{Text, deep, deep},
		{Text, "[" + deep + "]", `"[` + deep + `]"`},
		{Text, long, long},
		{Text, `[-` + strings.Repeat("9", 300) + `]`, `"[-` + strings.Repeat("9", 300) + `]"`},
		{Text, `["` + strings.Repeat("9", 5000) + strings.Repeat("[", 5000) + `"]`, `["` + strings.Repeat("9", 5000) + strings.Repeat("[", 5000) + `"]`},
		{Value, " 7 ", "7"},
		{Value, "null", "null"},
		{Value, `"x"`, `"x"`},
		{Value, `true`, `true`},
		{Value, strings.Repeat("1", 301), `"` + strings.Repeat("1", 301) + `"`},
		{Value, "[" + deep + "]", `"[` + deep + `]"`},
		{Value, "nonsense", `"nonsense"`},
		{Binary, "", `""`},
		{Binary, "\x00\xff", `"AP8="`},
	} {
		got, isBase64 := AppendData([]byte("before"), test.kind, []byte(test.payload))
		if string(got) != "before"+test.want || isBase64 != (test.kind == Binary) {
			t.Errorf("kind %d: %.200q became %.200q, want %.200q", test.kind, test.payload, got, test.want)
		}
	}
}

// FuzzAppendData judges by the standard library: the value is on one line, no deeper than it may
// be, and what it was.
func FuzzAppendData(f *testing.F) {
	f.Add([]byte("{\"a\" : [1e5, \"\\\"x\"]}\n"), byte(Text))
	f.Add([]byte(nested(101)), byte(Value))
	f.Add([]byte("plain\ttext"), byte(Text))
	f.Add([]byte(`["\ud800 \udc00\ud800", 1.5e-7, true , null]`), byte(Text))
	f.Fuzz(func(t *testing.T, payload []byte, k byte) {
		kind := Kind(k % 3)
		if kind != Binary && !utf8.Valid(payload) {
			return
		}
		data, isBase64 := AppendData(nil, kind, payload)
		var value any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&value); err != nil || bytes.ContainsAny(data, "\r\n") || d.More() {
			t.Fatalf("%q became %q: %v", payload, data, err)
		}
		text, isString := value.(string)
		if isBase64 {
			if was, err := base64.StdEncoding.DecodeString(text); err != nil || !bytes.Equal(was, payload) {
				t.Fatalf("%x became %q", payload, data)
			}
			return
		}
		if isString && text == string(payload) {
			return
		}
		var was any
		d = json.NewDecoder(bytes.NewReader(payload))
		d.UseNumber()
		if err := d.Decode(&was); err != nil || !reflect.DeepEqual(was, value) {
			t.Fatalf("%q became %q: %v", payload, data, err)
		}
		if depthOf(value) > depthMax {
			t.Fatalf("%q is too deep", data)
		}
	})
}

func depthOf(value any) (depth int) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			depth = max(depth, depthOf(e))
		}
		return depth + 1
	case map[string]any:
		for _, e := range v {
			depth = max(depth, depthOf(e))
		}
		return depth + 1
	}
	return 0
}
