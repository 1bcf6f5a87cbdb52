package sdktest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// told makes a record of a client in "r", of words: s5 it subscribed, r5 and was recovered, u5 or
// was not, at an offset; x it lost its subscription; 5 publication 5; 5=6 which has what 6 should.
func told(words string) *Record {
	r := newRecord()
	for _, word := range strings.Fields(words) {
		e := Event{Room: "r", Kind: "subscribed", Recoverable: true}
		var offset, says uint64
		switch n, _ := fmt.Sscanf(word[1:], "%d", &offset); {
		case word == "x":
			e.Kind = "subscribing"
		case word[0] > '9' && n == 1:
			e.Position = &Position{offset, "e"}
			e.WasRecovering, e.Recovered = word[0] != 's', word[0] == 'r'
		default:
			if n, _ := fmt.Sscanf(word, "%d=%d", &offset, &says); n == 1 {
				says = offset
			}
			e.Kind, e.Publication = "publication", Publication{Offset: offset, Data: json.RawMessage(fmt.Sprint(says))}
		}
		r.add(e)
		r.add(Event{Room: "another", Kind: e.Kind})
	}
	return r
}

func TestLogJudgesWhatClientsWereGiven(t *testing.T) {
	var l Log
	for i := 1; i <= 6; i++ {
		l.Add("r", Position{uint64(i), "e"}, fmt.Sprint(i))
	}
	for words, want := range map[string]string{
		"s0 1 2 3 4 5 6":                "0",
		"s4 5 6":                        "0",
		"s6":                            "0",
		"s0 1 2 x r2 3 x r3 x r3 4 6":   "not the one behind",
		"s0 1 2 x r2 3 x r3 x r3 4 5 6": "0",
		"s0 1 2 x u4 5 6":               "1",
		"s0 1 x u3 4 x u6":              "2",
		"s0 1 2 3 4 5":                  "the client stands at",
		"s0 1 2 4 5 6":                  "not the one behind",
		"s0 1 2 2 3 4 5 6":              "not the one behind",
		"s0 2 1 3 4 5 6":                "not the one behind",
		"s0 1 2=3 3 4 5 6":              "published was",
		"s0 1 2 x r4 5 6":               "but the client stood at",
		"s0 1 2 3 x r2 3 4 5 6":         "but the client stood at",
		"r3 4 5 6":                      "never had",
		"s0 1 2 x s4 5 6":               "the client stood at",
		"s0 1 2 x 3 r3 4 5 6":           "while not subscribed",
		"s0 1 2 3 4 5 6 7":              "published was",
	} {
		gaps, err := l.Judge(told(words), "r")
		got := fmt.Sprint(gaps)
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", words, got, want)
		}
	}
}

func TestLogKnowsWhoHasTheLast(t *testing.T) {
	var l Log
	if !l.HasLast(told("s0"), "r") {
		t.Error("of nothing")
	}
	l.Add("r", Position{1, "e"}, "1")
	l.Add("r", Position{2, "e"}, "2")
	for words, want := range map[string]bool{
		"": false, "s0": false, "s0 1": false, "s0 1 2": true, "s2": true, "s0 1 x u2": true, "s0 1 x": false, "s0 1 2 x r2": true, "s0 1 2 x": true, "s1": false,
	} {
		if got := l.HasLast(told(words), "r"); got != want {
			t.Errorf("%q: %t", words, got)
		}
	}
}
