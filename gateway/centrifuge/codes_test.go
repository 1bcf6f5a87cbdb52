package centrifuge

import (
	"maps"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// again is when SDKs do again by themselves what a code has ended: with 109 at once, with another
// token.
func again(code int, isTemporary bool) string {
	switch {
	case code == 109, code >= 2500 && code < 3000:
		return "now"
	case isTemporary, code < 2000 && code >= 1000, code >= 3000 && code < 3500:
		return "later"
	}
	return "never"
}

func TestErrorsAreWhatSDKsGoBy(t *testing.T) {
	for code, text := range errorTexts {
		r := code.Reply(7)
		if want := code == 100 || code == 111; r.Id != 7 || r.Error.Code != uint32(code) || r.Error.Message != text || r.Error.Temporary != want {
			t.Errorf("%d is %v", code, r)
		}
	}
	if CloseCode(4999).Reason() == "" {
		t.Error("a code of another's has no reason")
	}
}

// docs/protocol.md has each code once, with the words and the consequence that are in these tables.
func TestTheDocumentHasEachCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ reason, again string }
	want, got := map[int]row{1009: {"message too big", "later"}}, map[int]row{}
	for code, reason := range closeReasons {
		want[int(code)] = row{reason, again(int(code), false)}
	}
	for code, reason := range unsubscribeReasons {
		want[int(code)] = row{reason, again(int(code), false)}
	}
	for code, reason := range errorTexts {
		want[int(code)] = row{reason, again(int(code), code.IsTemporary())}
	}
	for _, found := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \| (\w+) \|`).FindAllStringSubmatch(string(text), -1) {
		code, _ := strconv.Atoi(found[1])
		if _, isThere := got[code]; isThere {
			t.Errorf("%d is there twice", code)
		}
		got[code] = row{found[2], found[3]}
	}
	if !maps.Equal(got, want) {
		for code, r := range want {
			if got[code] != r {
				t.Errorf("%d is %q in the document, want %q", code, got[code], r)
			}
		}
		for code := range got {
			if _, isThere := want[code]; !isThere {
				t.Errorf("%d is in the document alone", code)
			}
		}
	}
}
