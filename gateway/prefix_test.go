package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"sluice/gateway"
	"sluice/internal/testenv"
)

func TestPathPrefix(t *testing.T) {
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	s := newServer(t, gateway.Options{Loops: 1, Pages: pages, PathPrefix: "/apps/chat"})
	addr := listen(t, s)
	serve(t, s)
	c := dial(t, "ws://"+addr+"/apps/chat/ws/r")
	say(t, c, "hello")
	hear(t, c, "hello")
	lobby := dial(t, "ws://"+addr+"/apps/chat/ws")
	say(t, lobby, "hello")
	hear(t, lobby, "hello")
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for path, want := range map[string]string{
		"/apps/chat/":        "200 /",
		"/apps/chat/a/b?c=d": "200 /a/b",
		"/apps/chat":         "308 /apps/chat/",
		"/apps/chat?a=b":     "308 /apps/chat/?a=b",
		"/apps/chat/livez":   "200 ok\n",
		"/livez":             "200 ok\n",
		"/":                  "404",
		"/apps/chatter/":     "404",
		"/apps/chat2/ws":     "404",
		"/ws":                "404",
		"/ws/r":              "404",
		"/apps/apps/chat/ws": "404",
		"/apps/chat/ws/r":    "426",
		"/apps/chat/livez/":  "200 /livez/",
	} {
		r, err := client.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		got := fmt.Sprint(r.StatusCode)
		switch r.StatusCode {
		case 200:
			got += " " + string(body)
		case 308:
			got += " " + r.Header.Get("Location")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, bad := range []string{"chat", "/", "/chat/", "//chat", "/a//b", "/a b", "/..", "/%61"} {
		if err := (gateway.Options{PathPrefix: bad}).Validate(); err == nil {
			t.Errorf("%q is taken for a prefix", bad)
		}
	}
	if st := testenv.StatsOf(t, s); st.Hub.Due() != 0 {
		t.Errorf("%+v", st.Hub)
	}
}
