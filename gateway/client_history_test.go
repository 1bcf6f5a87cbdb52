package gateway

import (
	"fmt"
	"strings"
	"testing"
)

// What a room keeps is told to those who may know: some of it from either end, or the position
// alone.
func TestSubscribersReadHistory(t *testing.T) {
	s, addr, _ := startWithPasses(t, false, func(cfg *config) {
		cfg.History = []HistoryRule{{Pattern: "kept*", Messages: 8, Bytes: 4 << 20}}
	})
	for i := range 10 {
		if _, err := s.Publish("kept", Message{Data: fmt.Append(nil, i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	room, _ := s.Room("kept")
	epoch := room.Position.Epoch
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann may:kept*=read+history may:mute=history may:other=read+history"}}`)
	p.next()
	page := func(offsets ...int) string {
		var all []string
		for _, n := range offsets {
			all = append(all, fmt.Sprintf(`{"data":"%d","offset":%d}`, n, n))
		}
		return fmt.Sprintf(`"history":{"publications":[%s],"offset":10,"epoch":%q}`, strings.Join(all, ","), epoch)
	}
	refused := func(code int, text string) string { return fmt.Sprintf(`"error":{"code":%d,"message":%q}`, code, text) }
	since := func(offset int) string { return fmt.Sprintf(`"since":{"offset":%d,"epoch":%q}`, offset, epoch) }
	for _, tc := range []struct{ ask, want string }{
		{`"channel":"kept"`, page()},
		{`"channel":"kept","limit":0,"reverse":true`, page()},
		{`"channel":"kept","limit":3`, page(3, 4, 5)},
		{`"channel":"kept","limit":-1`, page(3, 4, 5, 6, 7, 8, 9, 10)},
		{`"channel":"kept","limit":2,"reverse":true`, page(10, 9)},
		{`"channel":"kept","limit":-1,"reverse":true`, page(10, 9, 8, 7, 6, 5, 4, 3)},
		{`"channel":"kept","limit":2,` + since(5), page(6, 7)},
		{`"channel":"kept","limit":100,` + since(10), page()},
		{`"channel":"kept","limit":3,"reverse":true,` + since(7), page(6, 5, 4)},
		{`"channel":"kept","limit":3,"reverse":true,` + since(11), page(10, 9, 8)},
		{`"channel":"kept","limit":3,"reverse":true,` + since(5), page(4, 3)},
		{`"channel":"kept","limit":3,"reverse":true,` + since(3), page()},
		{`"channel":"kept","limit":3,` + since(1), refused(112, "unrecoverable position")},
		{`"channel":"kept","limit":3,` + since(11), refused(112, "unrecoverable position")},
		{`"channel":"kept","limit":3,"since":{"offset":5,"epoch":"x"}`, refused(112, "unrecoverable position")},
		{`"channel":"kept","limit":3,"since":{"offset":5}`, refused(112, "unrecoverable position")},
		{`"channel":"kept","limit":3,"reverse":true,"since":{"offset":5,"epoch":"x"}`, refused(112, "unrecoverable position")},
		{`"channel":"kept","limit":3,"reverse":true,"since":{"offset":5}`, refused(112, "unrecoverable position")},
		{`"channel":"kept.never","limit":3`, `"history":{"publications":[],"offset":0,"epoch":""}`},
		{`"channel":"kept.never","limit":3,"since":{"offset":5,"epoch":"x"}`, refused(112, "unrecoverable position")},
		{`"channel":"other","limit":3`, refused(108, "not available")},
		{`"channel":"mute","limit":3`, refused(103, "permission denied")},
		{`"channel":"elsewhere","limit":3`, refused(103, "permission denied")},
		{`"channel":"a b","limit":3`, refused(107, "bad request")},
	} {
		p.say(`{"id":2,"history":{` + tc.ask + `}}`)
		if got := p.next(); !sameJSON(t, `{"id":2,`+tc.want+`}`, got) {
			t.Errorf("%s\ngot  %s\nwant %s", tc.ask, got, tc.want)
		}
	}
}

// Of large messages an answer has what there is room for, and one at least: from the end that was
// asked for.
func TestAnswersOfHistoryAreBounded(t *testing.T) {
	s, addr, _ := startWithPasses(t, false, func(cfg *config) { cfg.History = []HistoryRule{{Pattern: "*", Bytes: 4 << 20}} })
	text := func(i, size int) string { return fmt.Sprint(i, strings.Repeat("x", size)) }
	sizes := []int{100, 200 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10, 300 << 10, 10}
	for i, size := range sizes {
		if _, err := s.Publish("r", Message{Data: []byte(text(i+1, size))}); err != nil {
			t.Fatal(err)
		}
	}
	room, _ := s.Room("r")
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"may:*=read+history"}}`)
	p.next()
	for _, tc := range []struct {
		since     int // zero: none
		isReverse bool
		want      []int
	}{
		{0, false, []int{1}},
		{1, false, []int{2}},
		{2, false, []int{3, 4}},
		{7, false, []int{8}},
		{0, true, []int{8}},
		{8, true, []int{7}},
		{7, true, []int{6, 5}},
		{3, true, []int{2}},
	} {
		since := ""
		if tc.since > 0 {
			since = fmt.Sprintf(`,"since":{"offset":%d,"epoch":%q}`, tc.since, room.Position.Epoch)
		}
		p.say(fmt.Sprintf(`{"id":2,"history":{"channel":"r","limit":100,"reverse":%t%s}}`, tc.isReverse, since))
		var offsets []int
		h, _ := decoded(t, p.next()).(map[string]any)["history"].(map[string]any)
		all, _ := h["publications"].([]any)
		for _, one := range all {
			pub := one.(map[string]any)
			n := int(pub["offset"].(float64))
			offsets = append(offsets, n)
			if pub["data"] != text(n, sizes[n-1]) {
				t.Errorf("message %d is another", n)
			}
		}
		if fmt.Sprint(offsets) != fmt.Sprint(tc.want) {
			t.Errorf("since %d, reverse %t: %v, want %v", tc.since, tc.isReverse, offsets, tc.want)
		}
	}
}
