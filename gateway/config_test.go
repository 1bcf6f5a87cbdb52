package gateway

import (
	"time"

	"sluice/web"
)

// testConfig is the default configuration with two loops and the demo page, but without pings and
// hurry, which a test that takes long on a busy machine does not expect.
func testConfig() *config {
	return &config{Options: Options{
		Pages:            web.New(web.Options{}),
		AllowHost:        []string{"sluice.test"}, // what tests call it, on loopback
		Loops:            2,
		MaxConnections:   15_000,
		HandshakeTimeout: time.Minute,
		PingInterval:     time.Hour,
		StallTimeout:     time.Minute,
	}.Defaults(), tuning: tuning{panics: true, homeMax: -1}} // What happens between loops is tested with few clients.
}
