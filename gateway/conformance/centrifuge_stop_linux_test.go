package conformance

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/sdktest"
	"sluice/internal/testenv"
)

// K02. A program on centrifuge-go is stopped while its rooms go on, and hears a few messages before
// and behind that. What it has then is each message once, in order; where some are missing, it was
// told so, and it is not told so where none are.
func TestK02_StoppedSDKGetsAllOrIsToldOfTheGap(t *testing.T) {
	t.Parallel()
	if centrifugo() != "" {
		t.Skip("a Centrifugo keeps what its own options say")
	}
	noise := make([]byte, 24<<10) // Deflated, anything else would fit into the kernel's buffers.
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	data := fmt.Sprintf(`{"text":%q}`, base64.StdEncoding.EncodeToString(noise))
	small := func(o *gateway.Options) {
		o.RoomBacklog, o.MaxMessage, o.SendBuffer = 256<<10, 64<<10, 64<<10
		o.PublishWindow = 64 << 10
		o.SlowPolicy = hub.Skip
	}
	for _, test := range []struct {
		name     string
		turn     func(*gateway.Options)
		messages int           // while it stands still
		atLeast  time.Duration // for which it does
		isGap    bool
	}{
		{"within the backlog", func(*gateway.Options) {}, 100, 0, false},
		{"beyond the backlog, which is kept", small, 150, 0, false},
		{"beyond all that is kept", func(o *gateway.Options) { small(o); o.History[0].Messages = 20 }, 150, 0, true},
		{"beyond the stall timeout", func(o *gateway.Options) { small(o); o.StallTimeout = time.Second }, 150, 3 * time.Second, false},
	} {
		for _, isProtobuf := range []bool{false, true} {
			if isProtobuf && !testenv.IsWholeSize(t) {
				continue
			}
			name := test.name
			if isProtobuf {
				name += ", in protobuf"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := spoken()
				o.History[0].Bytes = 32 << 20
				test.turn(&o)
				e := startEndpoint(t, o)
				client := sdktest.OpenChild(t, sdktest.Options{URL: spokenAt(e.addr)}, isProtobuf)
				client.Connect()
				client.Subscribe("a")
				events := client.Events()
				events.Expect(t, "subscribed", "a", 1)
				for range 5 {
					e.publishPatiently("a", data)
				}
				events.Expect(t, "publication", "a", 5)
				began := time.Now()
				client.Stop()
				for range test.messages {
					e.publishPatiently("a", data)
				}
				time.Sleep(time.Until(began.Add(test.atLeast)))
				client.Continue()
				for range 5 {
					e.publishPatiently("a", data)
				}
				if err := events.Wait("all", func() bool { return e.log.HasLast(events, "a") }, nil); err != nil {
					t.Fatal(err)
				}
				gaps, err := e.log.Judge(events, "a")
				t.Logf("%d gaps, %d times connected, subscribed %d times", gaps, events.Count("connected", ""), events.Count("subscribed", "a"))
				if err != nil || (gaps > 0) != test.isGap {
					t.Errorf("%d gaps, %v", gaps, err)
				}
				if isOnce := events.Count("connected", "") == 1; test.name == "within the backlog" && !isOnce || test.atLeast > 0 && isOnce {
					t.Errorf("%d times connected", events.Count("connected", ""))
				}
			})
		}
	}
}
