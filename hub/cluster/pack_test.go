package cluster

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/hub"
)

// The bytes of a pack, drawn: other builds have to read them.
func TestPackIsWhatItsDrawingSays(t *testing.T) {
	body := appendMessage(nil, &hub.Source{Kind: 2, Time: 0x0102030405060708, Sender: "me", ID: "i", Payload: []byte("hello")})
	body = appendMessage(body, &hub.Source{Kind: 1})
	want := []byte("" +
		"\x01\x00\x02" + // version, count
		"\x02\x01\x02\x03\x04\x05\x06\x07\x08" + "\x02me" + "\x01i" + "\x05hello" +
		"\x01\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00" + "\x00" + "\x00")
	if !bytes.Equal(body, want) {
		t.Errorf("%q, want %q", body, want)
	}
	list, err := decode(nil, 7, want)
	if err != nil || len(list) != 2 || list[0].Offset != 7*1024 || list[1].Offset != 7*1024+1 || list[0].Sender != "me" || list[0].ID != "i" || string(list[0].Payload) != "hello" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPacksComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		var body []byte
		var want []hub.Source
		for i := range n {
			s := hub.Source{
				Kind: rapid.Byte().Draw(t, "kind"), Time: rapid.Int64().Draw(t, "time"), Sender: rapid.StringN(0, 5, 300).Draw(t, "sender"),
				ID: rapid.StringN(0, 5, 300).Draw(t, "id"), Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"), Offset: offsetOf(9, i),
			}
			before := len(body)
			if body = appendMessage(body, &s); len(body)-max(before, packHead) > sizeOf(&s) {
				t.Errorf("%d bytes, and sizeOf says %d", len(body)-before, sizeOf(&s))
			}
			want = append(want, s)
		}
		list, err := decode(nil, 9, body)
		if diff := cmp.Diff(want, list); diff != "" || err != nil {
			t.Error(err, diff)
		}
		for cut := range body { // No part of a pack is one.
			if list, err := decode(want[:1], 9, body[:cut]); err == nil || len(list) != 1 {
				t.Errorf("the first %d bytes of %d are taken", cut, len(body))
			}
		}
		if _, err := decode(nil, 9, append(body, 0)); err != errGarbage {
			t.Error("a byte too many is taken")
		}
	})
}

func TestWhatIsNoPackIsTold(t *testing.T) {
	for text, want := range map[string]error{
		"": errGarbage, "\x00": errGarbage, "\x01": errGarbage, "\x01\x00\x00": nil, "\x01\x00\x00\x00": errGarbage, "\x01\x04\x01": errGarbage, "garbage": errGarbage, "{}": errGarbage,
		"\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01": errGarbage,
		"\x02": errVersion, "\x0f anything": errVersion,
	} {
		if list, err := decode(nil, 1, []byte(text)); err != want || len(list) > 0 {
			t.Errorf("%q: %v, %v, want %v", text, list, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x01\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := decode(nil, 1, body)
		if err != nil {
			return
		}
		var again []byte
		for i := range list {
			again = appendMessage(again, &list[i])
		}
		if back, err := decode(nil, 1, again); err != nil || !cmp.Equal(list, back) {
			t.Errorf("%v, %v", list, back)
		}
	})
}

func TestOffsetsGrowWithSequencesAndPlaces(t *testing.T) {
	if offsetOf(1, 0) != 1024 || offsetOf(1, 1023) != endOf(1) || endOf(1)+1 != offsetOf(2, 0) || offsetOf(1<<43-1, 1023) != 1<<53-1 {
		t.Error("an offset is not the sequence × 1,024 + the place")
	}
}
