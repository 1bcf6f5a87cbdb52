package gateway

import "testing"

// The reply to a command comes before what is told of the subscription that it has brought about,
// though a token in the same message ends that.
func TestRepliesComeBeforeWhatARefreshEnds(t *testing.T) {
	_, addr, _ := startWithPasses(t, false, nil)
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann may:a=read may:b=read"}}`)
	p.next()
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`, `{"id":4,"refresh":{"token":"sub:ann may:b=read"}}`,
		`{"id":5,"subscribe":{"channel":"a"}}`)
	p.hear(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`, `{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`,
		`{"id":4,"refresh":{"client":"C","version":"Sluice"}}`, `{"id":5,"error":{"code":103,"message":"permission denied"}}`)
}
