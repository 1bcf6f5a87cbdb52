package conformance

import (
	"context"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// curl reads what is kept and what comes, and ends when the stream does.
func TestCurlReadsEvents(t *testing.T) {
	s, addr := gatewaytest.Start(t, keeping(10))
	publishAll(t, s, "kept", 0, 2)
	if _, err := exec.LookPath("curl"); err != nil {
		testenv.LeaveOut(t, "curl is not here: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	curl := exec.CommandContext(ctx, "curl", "-sSN", "--noproxy", "*", "http://"+addr+"/sse/kept?last=all")
	var said strings.Builder
	curl.Stdout, curl.Stderr = &said, &said
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "curl is there", func() bool {
		r, ok := s.Room("kept")
		return ok && r.Members == 1
	})
	if n, err := s.Publish("kept", gateway.Message{Data: []byte("a\nb")}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := s.DisconnectRoom(t.Context(), "kept", gateway.Farewell{}); n.Clients != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	err := curl.Wait()
	out := said.String()
	_, events, _ := strings.Cut(out, "\n\n")
	kept := strings.Split(events, "\n\n")
	if err != nil || len(kept) != 5 || !strings.HasSuffix(kept[0], "\ndata: 0") || !strings.HasSuffix(kept[1], "\ndata: 1") ||
		!strings.HasSuffix(kept[2], "\ndata: a\ndata: b") || !strings.HasPrefix(kept[3], "event: close\n") {
		t.Errorf("curl says %q, %v", out, err)
	}
}

// Chromium's EventSource, which a network cuts off again and again while messages are published,
// has each exactly once and in order: it comes back by itself with the id of the last. That is the
// recipe of docs/rooms.md.
func TestS05_BrowserGoesOnBehindTheLastEvent(t *testing.T) {
	testenv.LeaveToCI(t, "a browser comes back after a second or more")
	browser := browsertest.Start(t)
	o := keeping(0)
	o.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>reads</title>"))
	})
	s, addr := gatewaytest.Start(t, o)
	network := wstest.Dig(t, addr)
	p := page{t: t, ctx: browsertest.NewTab(t, browser)}
	p.do(chromedp.Navigate("http://" + network.Addr() + "/"))
	p.until(`{
		window.came = []
		window.resets = 0
		window.opened = 0
		const events = new EventSource("/sse/kept?last=all")
		events.onopen = () => opened++
		events.onmessage = (event) => came.push(event.data)
		events.addEventListener("reset", () => resets++)
		true
	}`)
	const cuts, each = 2, 50
	for i := range cuts + 1 {
		p.until(`opened === ` + strconv.Itoa(i+1))
		publishAll(t, s, "kept", 2*i*each, (2*i+1)*each)
		if i%2 == 0 {
			p.until(`came.length >= ` + strconv.Itoa((2*i+1)*each-1))
		}
		if i < cuts {
			network.Reset()
		}
		publishAll(t, s, "kept", (2*i+1)*each, 2*(i+1)*each)
	}
	p.until(`came.length >= ` + strconv.Itoa(2*(cuts+1)*each))
	p.until(`resets === 0 && came.every((data, i) => data === String(i))`)
}
