package natsbroker

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/hub/cluster"
)

// What comes as a claim and is none is counted, and nothing of it is kept. The largest that there
// may be is one.
func TestClaimsHaveABound(t *testing.T) {
	text := func(c cluster.Claim) string {
		p, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	head := len(text(cluster.Claim{Node: "x"})) - 1
	largest := text(cluster.Claim{Node: strings.Repeat("x", cluster.ClaimBytesMax-head)})
	for what, c := range map[string]struct {
		body string
		want bool
	}{
		"the largest":  {largest, true},
		"nobody's":     {text(cluster.Claim{Epoch: "epoch"}), false},
		"no JSON":      {"?", false},
		"a larger one": {largest + " ", false},
	} {
		n := &Broker{log: slog.New(slog.DiscardHandler), told: make(chan cluster.Claim, 1)}
		n.takeClaim(&nats.Msg{Subject: claims, Data: []byte(c.body)})
		if n.counts.malformed.Load() == 0 != c.want || len(n.told) == 1 != c.want {
			t.Errorf("%s: %d are counted, %d are told", what, n.counts.malformed.Load(), len(n.told))
		}
	}
	n := &Broker{log: slog.New(slog.DiscardHandler), told: make(chan cluster.Claim, claimsMax)}
	for range 2 * claimsMax { // Nobody takes them.
		n.takeClaim(&nats.Msg{Subject: claims, Data: []byte(largest)})
	}
	if len(n.told) != claimsMax || n.counts.malformed.Load() != 0 {
		t.Errorf("%d wait", len(n.told))
	}
}
