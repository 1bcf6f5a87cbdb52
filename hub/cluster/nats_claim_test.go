package cluster

import (
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// What comes as a claim and is none is counted, and nothing of it is kept. The largest that a node
// says is one.
func TestClaimsHaveABound(t *testing.T) {
	largest := Claim{
		Node: newName(), Epoch: newName(), Asks: newName(), SeenID: strings.Repeat("x", 64),
		Revision: math.MaxUint64, Last: math.MaxUint64, Seen: math.MaxUint64, IsTrusted: true,
	}
	for range knownMax {
		largest.Answers = append(largest.Answers, newName())
	}
	text := func(c Claim) string {
		p, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	for what, c := range map[string]struct {
		body string
		want bool
	}{
		"the largest": {text(largest), true},
		"nobody's":    {text(Claim{Epoch: "epoch"}), false},
		"no JSON":     {"?", false},
		"a large one": {text(Claim{Node: strings.Repeat("x", claimBytesMax)}), false},
	} {
		n := &NATS{log: slog.New(slog.DiscardHandler), told: make(chan Claim, 1)}
		n.takeClaim(&nats.Msg{Subject: claims, Data: []byte(c.body)})
		if n.counts.malformed.Load() == 0 != c.want || len(n.told) == 1 != c.want {
			t.Errorf("%s: %d are counted, %d are told", what, n.counts.malformed.Load(), len(n.told))
		}
	}
	n := &NATS{log: slog.New(slog.DiscardHandler), told: make(chan Claim, claimsMax)}
	for range 2 * claimsMax { // Nobody takes them.
		n.takeClaim(&nats.Msg{Subject: claims, Data: []byte(text(largest))})
	}
	if len(n.told) != claimsMax || n.counts.malformed.Load() != 0 {
		t.Errorf("%d wait", len(n.told))
	}
}
