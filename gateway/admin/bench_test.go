package admin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// BenchmarkPublish has one connection publish messages of 64 bytes into a room of ten, one at a
// time and as NDJSON, beside a handler of net/http that does nothing with such a body.
// docs/benchmarks.md has the figures.
func BenchmarkPublish(b *testing.B) {
	const lines = 1000
	message := strings.Repeat("x", 62)
	b.Run("nothing", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), l)
		s := &site{t: b, admin: l.Addr().String(), http: &http.Client{Transport: &http.Transport{}, Timeout: testenv.Patience}}
		b.Cleanup(s.http.CloseIdleConnections)
		for b.Loop() {
			s.publish("r", message)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	for _, members := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("members=%d/single", members), func(b *testing.B) {
			s := benchSite(b, members)
			for b.Loop() {
				if a := s.publish("r", message); a.status != 200 {
					b.Fatal(a)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
		b.Run(fmt.Sprintf("members=%d/ndjson", members), func(b *testing.B) {
			s := benchSite(b, members)
			batch := strings.Repeat(`"`+message+`"`+"\n", lines)
			for b.Loop() {
				if a := s.publish("r", batch, "Content-Type", "application/x-ndjson"); a.status != 200 {
					b.Fatal(a)
				}
			}
			b.ReportMetric(lines*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// benchSite is a site whose room r has members that read and drop what they get.
func benchSite(b *testing.B, members int) *site {
	b.Helper()
	o := gatewaytest.Options()
	o.RoomBacklog, o.BacklogMemory, o.PublishWindow = 256<<20, 512<<20, 256<<20 // The publisher is measured, not the brake.
	s := startSite(b, o, nil)
	for range members {
		c := wstest.Join(b, s.clients, "/ws/r")
		go io.Copy(io.Discard, c.TCPConn) // To the end of the gateway.
	}
	return s
}
