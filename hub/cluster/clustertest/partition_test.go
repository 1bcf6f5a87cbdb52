package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/internal/natstest"
	"sluice/internal/testenv"
)

// B03: one node is cut off from the broker, for longer than it takes to notice. It waits, the other
// goes on; behind it nothing is missing anywhere.
func TestB03_NodeIsCutOffFromTheBroker(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := natstest.StartProxy(t, s.Addr().String())
	all := []*machine{
		start(t, "node0", withStream(s.ClientURL())),
		start(t, "node1", withStream(fmt.Sprint("nats://127.0.0.1:", network.Port()))),
	}
	for _, m := range all {
		m.open(someRooms...)
	}
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 200)
	network.Cut(true)
	testenv.Eventually(t, "the node that is cut off says so", func() bool { return all[1].node.Ready() != nil })
	l.run(t, 500) // The other's.
	all[0].awaitReady()
	network.Cut(false)
	all[1].awaitReady()
	l.run(t, 500)
	l.stop()
	l.check(t, all, someRooms)
	mustNotReset(t, all)
}

// B03 among the brokers: a node's server is cut off from the two others. Nothing is acknowledged
// there; the majority goes on.
func TestB03_MinorityOfTheBrokersHolds(t *testing.T) {
	t.Parallel()
	testenv.LeaveToCI(t, "three servers, two elections, half a minute")
	routes := natstest.Ports(t, 3)
	var servers []*server.Server
	var networks []*natstest.Proxy
	for i := range 3 {
		servers = append(servers, natstest.Start(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("server", i)
			o.Cluster = server.ClusterOpts{Name: natstest.ClusterName(routes), Host: "127.0.0.1", Port: routes[i], NoAdvertise: true}
			if i == 2 { // The others hear of it from each other, and connect by themselves if they are faster.
				back := natstest.StartProxy(t, fmt.Sprint("127.0.0.1:", routes[2]))
				o.Cluster.Advertise = fmt.Sprint("127.0.0.1:", back.Port())
				networks = append(networks, back)
			}
			for k := range 2 {
				to := routes[k]
				if i == 2 {
					there := natstest.StartProxy(t, fmt.Sprint("127.0.0.1:", to))
					networks = append(networks, there)
					to = there.Port()
				}
				if i != k {
					o.Routes = append(o.Routes, server.RoutesFromStr(fmt.Sprint("nats://127.0.0.1:", to))...)
				}
			}
		}))
	}
	o := withStream(servers[0].ClientURL())
	o.Replicas = 3
	far := o
	far.URLs = []string{servers[2].ClientURL()}
	all := []*machine{start(t, "near", o), start(t, "far", far)}
	for _, m := range all {
		m.open(someRooms...)
	}
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 500)
	for _, n := range networks {
		n.Cut(true)
	}
	testenv.Eventually(t, "the minority says that it waits", func() bool { return all[1].node.Ready() != nil })
	before := all[1].node.Stats().PackMessages
	l.run(t, 1000)
	if after := all[1].node.Stats().PackMessages; after != before {
		t.Errorf("the minority has acknowledged %d messages", after-before)
	}
	for _, n := range networks {
		n.Cut(false)
	}
	all[1].awaitReady()
	l.run(t, 1000)
	l.stop()
	l.check(t, all, someRooms)
	mustNotReset(t, all)
}
