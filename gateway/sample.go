package gateway

import (
	"sluice/gateway/internal/sample"
	"sluice/wsproto"
)

// samples are what clients can have logged, each at most once a second.
type samples struct {
	refused    [wsproto.NumReasons]sample.Sample
	closed     [NumCloseReasons]sample.Sample
	cutShort   sample.Sample
	shortage   sample.Sample
	unarmed    sample.Sample
	unaccepted sample.Sample
	unwatched  sample.Sample
	untaken    sample.Sample
	panicked   sample.Sample
	handshake  [NumTLSFailures]sample.Sample
	proxied    sample.Sample
}
