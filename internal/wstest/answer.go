package wstest

import (
	"net/http"
	"strconv"
	"testing"

	"sluice/wsproto"
)

// An Answer is what came of asking for an upgrade.
type Answer struct {
	Status int
	body   string
	retry  int // seconds; zero: it was not said
}

// Ask asks for an upgrade on a connection of its own, which it closes.
func Ask(t *testing.T, addr, path string) Answer {
	t.Helper()
	c := Connect(t, addr)
	defer c.Close()
	c.TrySend(UpgradeHead(path)) // Whoever is turned away may be so before it has asked.
	r, body := c.Response()
	retry, _ := strconv.Atoi(r.Header.Get("Retry-After"))
	return Answer{r.StatusCode, body, retry}
}

// IsIn reports whether the client was let in.
func (a Answer) IsIn() bool { return a.Status == http.StatusSwitchingProtocols }

// IsRefusal reports whether the answer is a whole refusal for this reason.
func (a Answer) IsRefusal(r wsproto.Reason) bool {
	return a.Status == http.StatusServiceUnavailable && a.body == wsproto.Refuse(r).Text+"\n" && a.retry > 0
}
