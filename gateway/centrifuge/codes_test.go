package centrifuge

import (
	"maps"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// What SDKs do by themselves with the numbers: below 3500, and from 4000 to 4499, they come back.
func TestCodesSayWhenClientsComeBack(t *testing.T) {
	for code, reason := range closeReasons {
		want := Later
		if code >= 3500 {
			want = Never
		}
		if reason == "" || code.Reason() != reason || code.Reconnect() != want {
			t.Errorf("%d is %q, %v", code, code.Reason(), code.Reconnect())
		}
	}
	if CloseCode(4999).Reason() == "" || CloseCode(4001).Reconnect() != Later {
		t.Error("a code of another's has no reason, or ends")
	}
	for code, want := range map[ErrorCode]Reconnect{
		ErrorInternal: Later, ErrorPermissionDenied: Never, ErrorTokenExpired: Now, ErrorTooManyRequests: Later, ErrorUnrecoverable: Never,
	} {
		r := code.Reply(7)
		if code.Reconnect() != want || r.Id != 7 || r.Error.Code != uint32(code) || r.Error.Message != code.Message() || r.Error.Temporary != (want == Later) {
			t.Errorf("%d is %v, %v", code, code.Reconnect(), r)
		}
	}
	if UnsubscribeServer.Reconnect() != Never || UnsubscribeInsufficient.Reconnect() != Now || UnsubscribeExpired.Reason() == "" {
		t.Error("unsubscribing")
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
		want[int(code)] = row{reason, code.Reconnect().String()}
	}
	for code, reason := range unsubscribeReasons {
		want[int(code)] = row{reason, code.Reconnect().String()}
	}
	for code, reason := range errorTexts {
		want[int(code)] = row{reason, code.Reconnect().String()}
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
