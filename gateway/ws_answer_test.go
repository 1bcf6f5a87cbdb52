package gateway

import (
	"net/http"
	"strconv"
	"testing"

	"sluice/wsproto"
)

// An answer is what came of asking for an upgrade.
type answer struct {
	status int
	body   string
	retry  int // seconds; zero: it was not said
}

func ask(t *testing.T, addr, path string) answer {
	t.Helper()
	c := connect(t, addr)
	defer c.Close()
	c.trySend(upgradeHead(path)) // Whoever is turned away may be so before it has asked.
	r, body := c.response()
	retry, _ := strconv.Atoi(r.Header.Get("Retry-After"))
	return answer{r.StatusCode, body, retry}
}

func (a answer) isIn() bool { return a.status == http.StatusSwitchingProtocols }

// isRefusal reports whether the answer is a whole refusal for this reason.
func (a answer) isRefusal(r wsproto.Reason) bool {
	return a.status == http.StatusServiceUnavailable && a.body == wsproto.Refuse(r).Text+"\n" && a.retry > 0
}
