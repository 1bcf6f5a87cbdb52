package centrifuge

import "testing"

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
