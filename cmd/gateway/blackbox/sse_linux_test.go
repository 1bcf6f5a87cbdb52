package blackbox

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// Readers of events come through every proxy of docs/internet.md as it stands there: each event
// arrives when it is published and not when a buffer is full, silence is borne, and so is the end:
// SIGTERM is the last event, and the stream ends behind it.
func TestEventsThroughProxiesOfTheDocument(t *testing.T) {
	t.Parallel()
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			gateway := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--allow-host="+publicName, "--ping-interval=200ms"))
			addr := p.runProxy(t, strings.ReplaceAll(blockOf(t, p.language, 0), "127.0.0.1:8080", gateway.Addr))
			var readers []*wstest.Events
			for range 3 {
				c := wstest.Connect(t, addr)
				c.Send(wstest.RequestHead("GET /sse/behind HTTP/1.1", "Host: "+publicName, "Accept: text/event-stream", "Sec-Fetch-Site: same-origin"))
				e := wstest.EventsOf(c)
				if e.Head.StatusCode != http.StatusOK || e.Head.Header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("%s %v", e.Head.Status, e.Head.Header)
				}
				readers = append(readers, e)
			}
			speaker, _, err := dialAs(t, addr, "/ws/behind", "http://"+publicName, nil)
			if err != nil {
				t.Fatal(err)
			}
			large := strings.Repeat("line\n", 5<<10)
			for _, text := range []string{"one", "two\nlines", large} {
				expectEcho(t, speaker, text)
				for _, e := range readers {
					e.Expect("message", text)
				}
			}
			readers[0].AwaitBeat()
			readers[0].AwaitBeat()
			expectEcho(t, speaker, "still there?")
			gateway.Signal(syscall.SIGTERM)
			for _, e := range readers {
				e.Expect("message", "still there?")
				e.Expect("close", `{"code":1001,"reason":"going away"}`)
				if e.Retry == "" {
					t.Error("no time to come back at")
				}
				e.ExpectOver()
			}
		})
	}
}
