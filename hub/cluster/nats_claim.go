package cluster

import (
	"encoding/json"

	"github.com/nats-io/nats.go"
)

// claims is the subject of what nodes say of the stream.
const claims = notes + "stream"

// claimsMax bounds claims that wait, in either direction. They are said again.
const claimsMax = 1024

// Tell implements Broker. As with Publish, send waits for the socket.
func (n *NATS) Tell(c Claim) {
	body, err := json.Marshal(c)
	if err != nil {
		return // There is nothing in a claim that cannot be written.
	}
	o := &n.outgoing
	o.mu.Lock()
	if len(o.claims) < claimsMax {
		o.claims = append(o.claims, &nats.Msg{Subject: claims, Data: body})
	}
	o.mu.Unlock()
	o.wakeUp()
}

// tellClaims sends what waits. What a connection that is gone does not take is lost.
func (n *NATS) tellClaims() {
	o := &n.outgoing
	o.mu.Lock()
	all := o.claims
	o.claims = nil
	o.mu.Unlock()
	for _, m := range all {
		_ = n.nc.PublishMsg(m)
	}
}

// Told implements Broker.
func (n *NATS) Told() <-chan Claim { return n.told }

// listenToClaims has them come; those that are none are counted.
func (n *NATS) listenToClaims() error {
	_, err := n.nc.Subscribe(claims, func(m *nats.Msg) {
		var c Claim
		if err := json.Unmarshal(m.Data, &c); err != nil || c.Node == "" {
			n.counts.malformed.Add(1)
			return
		}
		select {
		case n.told <- c:
		default:
		}
	})
	return err
}
