package centrifuge

import (
	"encoding/json"
	"strings"
	"testing"
)

// theirs is what the standard library makes of a push.
func theirs(object string) (r Reply, isPublication bool) {
	err := json.Unmarshal([]byte(object), &r)
	return r, err == nil && r.Push != nil && r.Push.Pub != nil
}

func check(t *testing.T, object string) bool {
	t.Helper()
	room, p, isPublication := JSON.ParsePublication([]byte(object))
	if !isPublication {
		return false
	}
	want, isOne := theirs(object)
	switch {
	case !isOne:
		t.Errorf("%s is no publication", object)
	case string(room) != want.Push.Channel || p.Offset != want.Push.Pub.Offset || string(p.Data) != string(want.Push.Pub.Data):
		t.Errorf("%s: %q %d %s, want %+v %s", object, room, p.Offset, p.Data, want.Push, want.Push.Pub.Data)
	}
	return true
}

func TestPublicationsAreReadAsTheStandardLibraryReadsThem(t *testing.T) {
	for _, object := range []string{
		`{"push":{"channel":"a","pub":{"data":"text","offset":12}}}`,
		`{"push":{"pub":{"offset":7,"data":"text"},"channel":"a"}}`,
		`{"push":{"channel":"a","pub":{"data":"text"}}}`,
		`{"push":{"channel":"a","pub":{"data":{"a":[1,2,{"b":"}"}],"c":null},"info":{"client":"x","user":""},"offset":   12}}}`,
		` { "push" : { "channel" : "a" , "pub" : { "data" : 12 , "offset" : 3 } } }`,
		`{"push":{"channel":"a","pub":{"data":null,"tags":{"x":"y"}}}}`,
		`{"push":{"channel":"a","pub":{"data":[]}}}`,
	} {
		if !check(t, object) {
			t.Errorf("%s is not read", object)
		}
	}
	for _, object := range []string{
		``, `{}`, `{"id":1,"connect":{}}`, `{"push":{"channel":"a","join":{}}}`, `{"push":{"channel":"a"}}`, `{"push":{"pub":{"data":1}}}`,
		`{"push":{"channel":"a","pub":{"data":"a\"b"}}}`, `{"push":{"channel":"a","pub":{"data":"a"}}`, `{"push":{"channel":"a","pub":{"data":"a"}}}}`,
		`{"push":{"channel":"a","pub":{"data":"a","offset":-1}}}`, `{"push":{"channel":"a","pub":{"data":"a","offset":99999999999999999999}}}`,
		`{"push":[]}`, `"push"`, `{"push":{"channel":1,"pub":{"data":"a"}}}`, `{"push"`, `{"push":{"channel":"a","pub":{"data":{"a":1}}`,
	} {
		if check(t, object) {
			t.Errorf("%s is read", object)
		}
	}
}

func FuzzPublication(f *testing.F) {
	f.Add(`{"push":{"channel":"a","pub":{"data":{"a":[1]},"offset":12}}}`)
	f.Fuzz(func(t *testing.T, object string) {
		if json.Valid([]byte(object)) && strings.Count(object, `"push"`) < 2 && strings.Count(object, `"pub"`) < 2 &&
			strings.Count(object, `"data"`) < 2 && strings.Count(object, `"channel"`) < 2 && strings.Count(object, `"offset"`) < 2 &&
			strings.ToValidUTF8(object, "") == object {
			check(t, object)
		}
	})
}

func TestPublicationAllocatesNothing(t *testing.T) {
	object := []byte(`{"push":{"channel":"room-0","pub":{"data":"the quick brown fox","offset":12}}}`)
	if n := testing.AllocsPerRun(100, func() { JSON.ParsePublication(object) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCommandsAreJSON(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{string(JSON.AppendConnect(nil, 1)), `{"id":1,"connect":{"name":"loadtest"}}`},
		{string(JSON.AppendSubscribe(nil, 2, "room-0", nil)), `{"id":2,"subscribe":{"channel":"room-0"}}`},
		{string(JSON.AppendSubscribe(nil, 2, "room-0", &Place{`e"`, 7})), `{"id":2,"subscribe":{"channel":"room-0","recover":true,"epoch":"e\"","offset":7}}`},
		{string(JSON.AppendPublish(nil, 3, "room-0", []byte("text"))), `{"id":3,"publish":{"channel":"room-0","data":"text"}}`},
	} {
		if test.got != test.want || !json.Valid([]byte(test.got)) {
			t.Errorf("%s, want %s", test.got, test.want)
		}
	}
}

func TestFramesAreCutIntoObjects(t *testing.T) {
	var got []string
	for object, rest := JSON.Next([]byte("{\"id\":1}\n\n{}\r\n{\"id\":2}\n")); object != nil; object, rest = JSON.Next(rest) {
		got = append(got, string(object))
	}
	if strings.Join(got, " ") != `{"id":1} {} {"id":2}` {
		t.Errorf("%q", got)
	}
}

func TestTextOfData(t *testing.T) {
	for data, want := range map[string]string{`"plain"`: "plain", `"a\"b"`: `a"b`, `{"a":1}`: `{"a":1}`, `""`: "", `7`: "7", `"`: `"`} {
		if got := Text([]byte(data)); string(got) != want {
			t.Errorf("%s is %q, want %q", data, got, want)
		}
	}
}
