package natsbroker

import (
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"

	"sluice/hub/cluster"
)

// claims is the subject of what nodes say of the stream.
const claims = notes + "stream"

// claimsMax bounds claims that wait, in either direction. What is beyond it is dropped: they are
// said again.
const claimsMax = 1024

var (
	errClaimTooLarge = errors.New("it is larger than what nodes say of the stream")
	errNobodysClaim  = errors.New("it does not say which node it is of")
)

// Tell implements cluster.Broker. As with Publish, send waits for the socket.
func (n *Broker) Tell(c cluster.Claim) {
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
func (n *Broker) tellClaims() {
	o := &n.outgoing
	o.mu.Lock()
	all := o.claims
	o.claims = nil
	o.mu.Unlock()
	for _, m := range all {
		_ = n.nc.PublishMsg(m)
	}
}

// Told implements cluster.Broker.
func (n *Broker) Told() <-chan cluster.Claim { return n.told }

func (n *Broker) listenToClaims() error {
	_, err := n.nc.Subscribe(claims, n.takeClaim)
	return err
}

// takeClaim hands a claim to the node.
func (n *Broker) takeClaim(m *nats.Msg) {
	c, err := readClaim(m.Data)
	if err != nil {
		n.malformed(m, err)
		return
	}
	select {
	case n.told <- c:
	default:
	}
}

func readClaim(p []byte) (c cluster.Claim, err error) {
	if len(p) > cluster.ClaimBytesMax {
		return c, errClaimTooLarge
	}
	if err = json.Unmarshal(p, &c); err == nil && c.Node == "" {
		err = errNobodysClaim
	}
	return c, err
}
