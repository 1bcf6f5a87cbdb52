//go:build unix

package clustertest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/internal/natstest"
	"sluice/internal/testenv"
)

// streamAt is the stream as an operator sees it.
func streamAt(t testing.TB, urls ...string) (info func() *jetstream.ClusterInfo, nc *nats.Conn) {
	t.Helper()
	o := withStream(urls...)
	nc, err := nats.Connect(o.URLs[0], nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), func(n *nats.Options) error {
		n.Servers = urls
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return func() *jetstream.ClusterInfo {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, "SLUICE_0")
		if err != nil || s.CachedInfo().Cluster == nil {
			return &jetstream.ClusterInfo{}
		}
		return s.CachedInfo().Cluster
	}, nc
}

// awaitWhole waits until the stream has a leader and two copies that are as far, and returns who
// leads.
func awaitWhole(t testing.TB, info func() *jetstream.ClusterInfo) (leader, follower string) {
	t.Helper()
	testenv.Eventually(t, "the stream is whole", func() bool {
		is := info()
		if leader = is.Leader; leader == "" || len(is.Replicas) != 2 {
			return false
		}
		for _, r := range is.Replicas {
			if follower = r.Name; r.Offline || !r.Current {
				return false
			}
		}
		return true
	})
	return leader, follower
}

// Only the leader republishes: what is stored in the midst of a change is told to nobody, on a
// connection that has no fault.
func TestB10_LeaderStepsDownUnderLoad(t *testing.T) {
	t.Parallel()
	testenv.LeaveToCI(t, "three servers, some ten seconds")
	servers := natstest.StartCluster(t, 3)
	o := withStream(servers[0].ClientURL(), servers[1].ClientURL(), servers[2].ClientURL())
	o.Replicas = 3
	all := startAll(t, 3, o, someRooms)
	info, nc := streamAt(t, o.URLs...)
	l := publishOn(all, someRooms, 0)
	l.run(t, 5000)
	for range 5 {
		leader, _ := awaitWhole(t, info)
		if _, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN.SLUICE_0", nil, testenv.Patience); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, "another leads", func() bool { is := info().Leader; return is != "" && is != leader })
		l.run(t, 5000)
	}
	l.stop()
	l.check(t, all, someRooms)
	mustNotReset(t, all)
	for _, m := range all {
		s := m.node.Stats()
		t.Logf("%s: %d holes, %d packs fetched, %d packs repeated", m.name, s.Repairs, s.Repaired, s.Repeated)
	}
}

// What becomes of brokers' processes, one fault after the other, while all publish.
func TestB11_BrokersProcessesEnd(t *testing.T) {
	t.Parallel()
	testenv.LeaveToCI(t, "three servers and four elections, a minute")
	servers := natstest.StartProcesses(t, 3)
	o := withStream(natstest.URLs(servers)...)
	o.Replicas = 3
	all := startAll(t, 3, o, someRooms)
	info, _ := streamAt(t, o.URLs...)
	l := publishOn(all, someRooms, time.Millisecond)
	l.run(t, 1000)
	for _, fault := range []struct {
		name string
		do   func(leader, follower *natstest.Process)
	}{
		{"SIGTERM of the leader", func(p, _ *natstest.Process) { p.Terminate(); l.run(t, 1000); p.Run() }},
		{"SIGKILL of the leader", func(p, _ *natstest.Process) { p.Kill(); l.run(t, 1000); p.Run() }},
		{"SIGKILL of a follower", func(_, p *natstest.Process) { p.Kill(); l.run(t, 1000); p.Run() }},
		{"SIGSTOP of the leader for eight seconds", func(p, _ *natstest.Process) {
			p.Stop()
			time.Sleep(8 * time.Second)
			p.Continue()
		}},
	} {
		leader, follower := awaitWhole(t, info)
		began := time.Now()
		before := l.count()
		fault.do(natstest.Find(t, servers, leader), natstest.Find(t, servers, follower))
		l.run(t, 1000)
		t.Logf("%s: %d messages acknowledged within %v", fault.name, l.count()-before, time.Since(began).Round(time.Millisecond))
	}
	l.stop()
	l.check(t, all, someRooms)
	mustNotReset(t, all)
	for text, err := range l.failed { // A publisher that waited for longer than ten seconds was told.
		t.Logf("%s: %v", text, err)
		break
	}
}

// killAll has three brokers killed at once under load, which come again.
func killAll(t *testing.T, isInMemory bool) (all []*machine, l *load) {
	t.Helper()
	testenv.LeaveToCI(t, "three servers and an election, half a minute")
	servers := natstest.StartProcesses(t, 3)
	o := withStream(natstest.URLs(servers)...)
	o.Replicas, o.InMemory = 3, isInMemory
	all = startAll(t, 2, o, someRooms)
	l = publishOn(all, someRooms, time.Millisecond)
	l.run(t, 1000)
	for _, p := range servers {
		p.Kill()
	}
	for _, p := range servers {
		p.Run()
	}
	return all, l
}

// All brokers are killed at once, with what they have in files.
func TestB12_AllBrokersAreKilled(t *testing.T) {
	t.Parallel()
	all, l := killAll(t, false)
	l.run(t, 1000)
	l.stop()
	l.check(t, all, someRooms)
	mustNotReset(t, all)
}

// In brokers' memory nothing is left then: everybody is told, and all go on.
func TestB13_AllBrokersAreKilledAndKeptNothing(t *testing.T) {
	t.Parallel()
	all, l := killAll(t, true)
	awaitResets(t, all, someRooms)
	l.run(t, 1000)
	l.stop()
	l.check(t, all, someRooms)
	mustReset(t, all)
}
