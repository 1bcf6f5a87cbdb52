package natsbroker

import (
	"testing"

	"sluice/hub/cluster"
)

// What waits in a broker is a part of what SECURITY.md tells operators: 272 MiB and 289 messages of
// messages, and 10 MiB of what gateways say of the stream. The rest is the node's, whose test has
// it.
func TestBoundsAreThoseThatOperatorsAreTold(t *testing.T) {
	if waitingSize != 32<<20 || arrivedMax+handedMax != 272 {
		t.Errorf("%d MiB and %d messages, not as SECURITY.md has it", waitingSize>>20, arrivedMax+handedMax)
	}
	if claims := claimsMax * cluster.ClaimBytesMax; claims != 8<<20 {
		t.Errorf("%d bytes of what nodes say of the stream, not as SECURITY.md has it", claims)
	}
}
